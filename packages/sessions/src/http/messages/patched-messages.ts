import { IncomingMessage, ServerResponse } from 'node:http'

/** A method of a response that sends its headers. */
export type Method = 'writeHead' | 'write' | 'end' | 'flushHeaders'
/** A method that Node refuses once the headers are sent. */
export type HeaderMethod = 'setHeader' | 'appendHeader' | 'removeHeader'

/** What handles the calls of the methods of a response instead. */
export interface CallHandler {
  /** Whether the methods of the response itself were replaced, or, with `false`, those of its prototype. */
  readonly hasOwnMethods: boolean
  /** Whether the response behaves as if its headers had been sent, though they are not. */
  readonly isWaiting: boolean
  call(method: Method, args: unknown[]): unknown
  /** Calls a method of the response as it was before it was replaced. */
  callHeader(method: HeaderMethod, args: unknown[]): unknown
}

/** The property of a request that leads to its `SessionExchange`: from the request to its session, from its response to the handler. */
export const exchangeKey: unique symbol = Symbol('stowage.session')

/** A request with its session. */
export interface HeldRequest extends IncomingMessage {
  [exchangeKey]?: PropertySource
}

function handlerOf(response: ServerResponse): CallHandler | undefined {
  return (response.req as HeldRequest | undefined)?.[exchangeKey]?.held
}

/**
 * Returns the prototype that a framework has put before `base`, which is that of Node, in an object; `undefined` if there
 * is none. In Express, it is the one that all its applications share.
 */
function frameworkPrototypeOf<T extends object>(object: T, base: T): T | undefined {
  let prototype: T | null = Object.getPrototypeOf(object)
  while (prototype !== null && prototype !== base) {
    const parent: T | null = Object.getPrototypeOf(prototype)
    if (parent === base) return prototype
    prototype = parent
  }
  return undefined
}

/** What the properties of a request return, and the handler of its response. */
export interface PropertySource {
  readonly held: CallHandler | undefined
  readonly id: string | undefined
  readonly store: unknown
  /** Called when the application assigns `request.sessionID`. */
  rename(id: string | undefined): void
  /** Called when the application reads `request.session`. */
  use(): unknown
  /** Called when the application assigns `request.session`. */
  replace(session: unknown): void
}

/** Functions that all requests share, so that these have the same hidden class. */
const session: PropertyDescriptor = {
  configurable: true,
  enumerable: true,
  get(this: HeldRequest) {
    return this[exchangeKey]?.use()
  },
  set(this: HeldRequest, value: unknown) {
    this[exchangeKey]?.replace(value)
  },
}

const sessionID: PropertyDescriptor = {
  configurable: true,
  enumerable: true,
  get(this: HeldRequest) {
    return this[exchangeKey]?.id
  },
  set(this: HeldRequest, value: string | undefined) {
    if (this[exchangeKey] === undefined) defineValue(this, 'sessionID', value)
    else this[exchangeKey].rename(value)
  },
}

const sessionStore: PropertyDescriptor = {
  configurable: true,
  enumerable: true,
  get(this: HeldRequest) {
    return this[exchangeKey]?.store
  },
  set(this: HeldRequest, value: unknown) {
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

type Methods = Record<Method | HeaderMethod, (...args: never[]) => unknown>

const shared = ['write', 'end', 'flushHeaders'] as const
/** On a prototype: its methods before they were replaced. */
const originalsKey: unique symbol = Symbol('stowage.originals')
type Prototype = ServerResponse & { [originalsKey]?: Methods }

/** The methods before they were replaced. */
export interface Replaced {
  readonly writeHead: ServerResponse['writeHead']
  readonly others: Methods
  /** Whether the methods of the response itself were replaced. */
  readonly areOwn: boolean
}

/**
 * Makes the methods of a response call its handler.
 *
 * Express gives each response another prototype, after which V8 creates a hidden class for each property that is added:
 * four of them take longer than everything else in a request that reads a session. So the methods of the prototype that
 * all applications of Express share are replaced, once, and do what they did before for all other responses. Only
 * `writeHead`, which every response calls before its headers are sent, is replaced in the response itself.
 */
export function replaceMethods(response: ServerResponse): Replaced {
  const { writeHead } = response
  const prototype = prototypeOf(response)
  const areOwn = prototype === undefined || hasOwnMethods(response)
  const others = areOwn ? methodsOf(response) : originalsOf(prototype)
  response.writeHead = heldMethods.writeHead
  if (areOwn) {
    const { write, end, flushHeaders } = heldMethods
    Object.assign(response, { write, end, flushHeaders })
    if (prototype === undefined) Object.assign(response, heldHeaderMethods)
    else originalsOf(prototype)
  }
  return { writeHead, others, areOwn }
}

function hasOwnMethods(response: ServerResponse): boolean {
  return (
    Object.hasOwn(response, 'end') ||
    Object.hasOwn(response, 'write') ||
    Object.hasOwn(response, 'flushHeaders')
  )
}

/** Whether the methods of the prototype of a response are replaced: it may have got another prototype meanwhile. */
export function hasReplacedPrototype(response: ServerResponse): boolean {
  return prototypeOf(response)?.[originalsKey] !== undefined
}

/** Functions that all responses share, so that these have the same hidden class. */
const heldMethods = {
  writeHead: heldMethod('writeHead'),
  write: heldMethod('write'),
  end: heldMethod('end'),
  flushHeaders: heldMethod('flushHeaders'),
} as Pick<ServerResponse, Method>

function heldMethod(method: Method) {
  return function held(this: ServerResponse, ...args: unknown[]): unknown {
    return handlerOf(this)?.call(method, args)
  }
}

const verbs: Readonly<Record<HeaderMethod, string>> = {
  setHeader: 'set',
  appendHeader: 'append',
  removeHeader: 'remove',
}

/** Those of responses without a framework. */
const heldHeaderMethods = {
  setHeader: heldHeaderMethod('setHeader'),
  appendHeader: heldHeaderMethod('appendHeader'),
  removeHeader: heldHeaderMethod('removeHeader'),
} as Pick<ServerResponse, HeaderMethod>

/** @param original the method of a prototype; without it, that of the response itself before it was replaced */
function heldHeaderMethod(method: HeaderMethod, original?: (...args: never[]) => unknown) {
  return function held(this: ServerResponse, ...args: unknown[]): unknown {
    const handler = handlerOf(this)
    if (handler?.isWaiting) throw headersSentError(verbs[method])
    return original === undefined
      ? handler?.callHeader(method, args)
      : original.apply(this, args as never[])
  }
}

/** The error that Node throws. */
export function headersSentError(verb: string): Error {
  const error = new Error(`Cannot ${verb} headers after they are sent to the client`)
  return Object.assign(error, { code: 'ERR_HTTP_HEADERS_SENT' })
}

/** The methods of a prototype before they were replaced, which this does if need be. */
function originalsOf(prototype: Prototype): Methods {
  return prototype[originalsKey] ?? replaceShared(prototype)
}

function replaceShared(prototype: Prototype): Methods {
  const originals = methodsOf(prototype)
  for (const method of shared) {
    const original = originals[method]
    function held(this: ServerResponse, ...args: unknown[]): unknown {
      const handler = handlerOf(this)
      const isHeld = handler !== undefined && !handler.hasOwnMethods
      return isHeld ? handler.call(method, args) : original.apply(this, args as never[])
    }
    replaceMethod(prototype, method, held)
  }
  for (const method of Object.keys(verbs) as HeaderMethod[]) {
    replaceMethod(prototype, method, heldHeaderMethod(method, originals[method]))
  }
  Object.defineProperty(prototype, originalsKey, { value: originals })
  return originals
}

function replaceMethod(prototype: Prototype, name: string, value: unknown): void {
  Object.defineProperty(prototype, name, { configurable: true, writable: true, value })
}

function methodsOf(response: ServerResponse): Methods {
  const { writeHead, write, end, flushHeaders } = response
  const { setHeader, appendHeader, removeHeader } = response
  const sending = { writeHead, write, end, flushHeaders }
  return { ...sending, setHeader, appendHeader, removeHeader } as Methods
}

function prototypeOf(response: ServerResponse): Prototype | undefined {
  return frameworkPrototypeOf(response, ServerResponse.prototype)
}
