import { ServerResponse } from 'node:http'
import { frameworkPrototypeOf } from './framework-prototype.ts'
import { type HeaderMethod, handlerOf, type Method } from './holder.ts'

export type Methods = Record<Method | HeaderMethod, (...args: never[]) => unknown>

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
