/// <reference path="../memjs.d.ts" />
import type { EventEmitter } from 'node:events'
import type { Socket } from 'node:net'
import { CacheError } from '@stowage/core'
import * as memjs from 'memjs'

/** The part of memjs's `Server` that `Wire` uses or overrides. */
export interface MemjsServer extends EventEmitter {
  connected: boolean
  /** Sends the SASL PLAIN request. */
  saslAuth(): void
  responseHandler(data: Buffer): void
  sock(sasl: boolean, go: (socket: Socket) => void): void
  error(error: Error): void
  close(): void
}

export interface ServerConstructor {
  new (host: string, port: number, username?: string, password?: string): MemjsServer
  readonly prototype: MemjsServer
}

/** Its members that `Wire` depends on. */
const requiredMethods = [
  'sock',
  'write',
  'error',
  'close',
  'responseHandler',
  'saslAuth',
  'writeSASL',
]

/** Returns `server`. @throws CacheError `ERR_CACHE_CONFIG` if it lacks one of the methods that `Wire` depends on */
export function checkServer<Server extends { readonly prototype: object }>(server: Server): Server {
  const missing = requiredMethods.filter(
    (name) => typeof Reflect.get(server?.prototype ?? {}, name) !== 'function',
  )
  if (missing.length === 0) return server
  throw new CacheError(
    'ERR_CACHE_CONFIG',
    `memcached: the installed memjs has no Server.prototype.${missing.join(', ')}. Install memjs 1.3.2.`,
  )
}

/** The base class of a connection. It contributes the address, the credentials and the SASL PLAIN request. */
export const Server: ServerConstructor = checkServer(memjs.Server)
