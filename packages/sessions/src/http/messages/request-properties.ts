import { IncomingMessage } from 'node:http'
import { frameworkPrototypeOf } from './framework-prototype.ts'
import { holderKey } from './holder.ts'

/** What the properties of a request return. */
export interface PropertySource {
  readonly id: string | undefined
  readonly store: unknown
  /** Called when the application assigns `request.sessionID`. */
  rename(id: string | undefined): void
  /** Called when the application reads `request.session`. */
  use(): unknown
  /** Called when the application assigns `request.session`. */
  replace(session: unknown): void
}

type Request = IncomingMessage & { [holderKey]?: PropertySource }

/** Functions that all requests share, so that these have the same hidden class. */
const session: PropertyDescriptor = {
  configurable: true,
  enumerable: true,
  get(this: Request) {
    return this[holderKey]?.use()
  },
  set(this: Request, value: unknown) {
    this[holderKey]?.replace(value)
  },
}

const sessionID: PropertyDescriptor = {
  configurable: true,
  enumerable: true,
  get(this: Request) {
    return this[holderKey]?.id
  },
  set(this: Request, value: string | undefined) {
    if (this[holderKey] === undefined) defineValue(this, 'sessionID', value)
    else this[holderKey].rename(value)
  },
}

const sessionStore: PropertyDescriptor = {
  configurable: true,
  enumerable: true,
  get(this: Request) {
    return this[holderKey]?.store
  },
  set(this: Request, value: unknown) {
    defineValue(this, 'sessionStore', value)
  },
}

/**
 * Adds `session`, `sessionID` and `sessionStore` to a request. In Express, the prototype of all requests gets the latter
 * two once, as each property of a request takes time there (see `replaceMethods`). `session` can be deleted.
 */
export function addProperties(request: IncomingMessage): void {
  const prototype = frameworkPrototypeOf(request, IncomingMessage.prototype)
  const owner = prototype ?? request
  if (!Object.hasOwn(owner, 'sessionID')) {
    Object.defineProperties(owner, { sessionID, sessionStore })
  }
  Object.defineProperty(request, 'session', session)
}

/** Makes another middleware, such as express-session, own the property. */
function defineValue(request: object, name: string, value: unknown): void {
  const attributes = { configurable: true, enumerable: true, writable: true }
  Object.defineProperty(request, name, { ...attributes, value })
}
