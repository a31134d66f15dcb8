import type { Socket } from 'node:net'
import { inspect } from 'node:util'
import { addedToSocket } from './added-properties.ts'

/**
 * What differs between connections: what identifies the client, what was negotiated with it, and the address that it has
 * connected to, which is not part of a key.
 */
export const clientProperties = [
  'address',
  'alpnProtocol',
  'authorized',
  'authorizationError',
  'bytesRead',
  'bytesWritten',
  'exportKeyingMaterial',
  'getCipher',
  'getEphemeralKeyInfo',
  'getFinished',
  'getPeerCertificate',
  'getPeerX509Certificate',
  'getPeerFinished',
  'getProtocol',
  'getSession',
  'getSharedSigalgs',
  'getTLSTicket',
  'isSessionReused',
  'localAddress',
  'localFamily',
  'localPort',
  'remoteAddress',
  'remoteFamily',
  'remotePort',
  'servername',
  'ssl',
] as const

type Listener = (name: PropertyKey) => void

interface SocketWatch {
  readonly readers: Set<Listener>
  /** The accessors by which properties were replaced. */
  readonly getters: Map<PropertyKey, () => unknown>
}

/**
 * One set per connection, with one listener or accessor that stays: several responses may be rendered for a connection at
 * the same time, and each would otherwise add its own to those of the others.
 */
const watches = new WeakMap<object, SocketWatch>()
const closersOf = new WeakMap<object, Set<() => void>>()

/** Calls `listener` with what is read of the client. Returns a function that ends that. */
export function onClientRead(socket: object, listener: Listener): () => void {
  const watch = watches.get(socket) ?? watchSocket(socket)
  const { readers } = watch
  // Middleware adds to a connection for whom it was authenticated, with any of its requests.
  watchProperties(socket, addedToSocket(socket), watch)
  readers.add(listener)
  return () => void readers.delete(listener)
}

/**
 * Calls `listener` when the connection is closed. A response that waits until the connection has sent an earlier one emits
 * no `close` of its own. Returns a function that ends that.
 */
export function onSocketClose(socket: Socket, listener: () => void): () => void {
  const closers = closersOf.get(socket) ?? watchClose(socket)
  closers.add(listener)
  return () => void closers.delete(listener)
}

function watchSocket(socket: object): SocketWatch {
  const watch: SocketWatch = { readers: new Set(), getters: new Map() }
  watches.set(socket, watch)
  const present = clientProperties.filter((name) => name in socket)
  watchProperties(socket, present, watch)
  watchInspect(socket, watch.readers)
  return watch
}

function watchProperties(socket: object, names: readonly PropertyKey[], watch: SocketWatch): void {
  for (const name of names) {
    const own = Object.getOwnPropertyDescriptor(socket, name)
    // Middleware may have deleted it with an earlier request, and added it anew.
    const isWatched = own?.get !== undefined && own.get === watch.getters.get(name)
    if (!isWatched && own?.configurable !== false) watchProperty(socket, name, watch)
  }
}

/** `util.inspect` and `console.log` show the fields in which Node keeps addresses. */
function watchInspect(socket: object, readers: ReadonlySet<Listener>): void {
  if (inspect.custom in socket) return
  const report = () => {
    for (const listener of readers) listener('inspect')
    // Then it is shown as it is without this method.
    return socket
  }
  Reflect.defineProperty(socket, inspect.custom, { configurable: true, value: report })
}

function watchClose(socket: Socket): Set<() => void> {
  const closers = new Set<() => void>()
  closersOf.set(socket, closers)
  // Adapters for serverless functions create requests whose socket is a plain object.
  ;(socket as Partial<Socket>).once?.('close', () => {
    for (const listener of closers) listener()
  })
  return closers
}

function watchProperty(socket: object, name: PropertyKey, { readers, getters }: SocketWatch): void {
  const own = Object.getOwnPropertyDescriptor(socket, name)
  let value = own?.value
  const isValue = own !== undefined && 'value' in own
  const get = () => {
    for (const listener of readers) listener(name)
    if (isValue) return value
    if (own !== undefined) return own.get?.call(socket)
    return Reflect.get(Object.getPrototypeOf(socket), name, socket)
  }
  getters.set(name, get)
  Object.defineProperty(socket, name, {
    configurable: true,
    enumerable: own?.enumerable ?? false,
    get,
    set(next) {
      if (isValue) value = next
      else if (own !== undefined) own.set?.call(socket, next)
      else Object.defineProperty(socket, name, { configurable: true, writable: true, value: next })
    },
  })
}
