import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Cache, type CacheStore } from '@stowage/core'
import { type ResponseCacheOptions, responseCache } from '@stowage/http-cache'
import express, { type Express } from 'express'
import { backends } from '../../remember/processes/backends.mjs'

type Options = Partial<ResponseCacheOptions>

/** Two applications on one backend, each with a store of its own, as in two processes. */
export class TwoApps {
  readonly caches: readonly Cache[]
  readonly stop: () => Promise<void>
  readonly #servers: Server[] = []

  private constructor(caches: readonly Cache[], stop: () => Promise<unknown>) {
    this.caches = caches
    this.stop = async () => {
      for (const server of this.#servers) {
        server.closeAllConnections()
        server.close()
      }
      await Promise.all(caches.map((cache) => cache.close()))
      await stop()
    }
  }

  static async start(name: string): Promise<TwoApps> {
    const { driver, options, stop } = await (
      backends[name] as NonNullable<(typeof backends)[string]>
    )()
    const { default: module } = await import(`@stowage/${driver}`)
    const timeouts = driver === 'memory' || driver === 'lmdb' ? {} : { timeout: '20s' }
    const open = (): CacheStore => module.create({ ...timeouts, ...options })
    const first = open()
    // The memory of one process is not shared with another.
    const stores = driver === 'memory' ? [first, first] : [first, open()]
    const caches = stores.map((store) => new Cache(store, { prefix: 'responses:' }))
    return new TwoApps(caches, stop)
  }

  /** Adds the same routes to both. Returns a function that sends a request to one of them. */
  async serve(options: Options, addRoutes: (app: Express) => void) {
    const ports = await Promise.all(
      this.caches.map(async (cache) => {
        const app = express()
        app.use(responseCache({ cache, ttl: '1m', timeout: '20s', ...options }))
        addRoutes(app)
        const server = createServer(app)
        await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
        this.#servers.push(server)
        return (server.address() as AddressInfo).port
      }),
    )
    return async (index: number, path: string, init: RequestInit = {}) => {
      // One host, as behind a load balancer.
      const response = await fetch(`http://127.0.0.1:${ports[index]}${path}`, {
        redirect: 'manual',
        ...init,
      })
      const bytes = Buffer.from(await response.arrayBuffer())
      const status = response.headers.get('cache-status')
      return { status: response.status, bytes, body: bytes.toString(), cache: status }
    }
  }
}
