import type { ServerResponse } from 'node:http'
import { type HeaderMethod, handlerOf } from './holder.ts'

type HeaderMethods = Pick<ServerResponse, HeaderMethod>

const verbs: Readonly<Record<HeaderMethod, string>> = {
  setHeader: 'set',
  appendHeader: 'append',
  removeHeader: 'remove',
}

/** Functions that all responses without a framework share, so that these have the same hidden class. */
export const heldHeaderMethods = {
  setHeader: heldMethod('setHeader'),
  appendHeader: heldMethod('appendHeader'),
  removeHeader: heldMethod('removeHeader'),
} as HeaderMethods

/** The error that Node throws. */
export function headersSentError(verb: string): Error {
  const error = new Error(`Cannot ${verb} headers after they are sent to the client`)
  return Object.assign(error, { code: 'ERR_HTTP_HEADERS_SENT' })
}

/** Makes the responses with this prototype refuse headers while they wait. */
export function refuseLateHeaders(prototype: ServerResponse): void {
  for (const method of Object.keys(verbs) as HeaderMethod[]) {
    const original = prototype[method] as (...args: unknown[]) => unknown
    function held(this: ServerResponse, ...args: unknown[]): unknown {
      if (handlerOf(this)?.isWaiting) throw headersSentError(verbs[method])
      return original.apply(this, args)
    }
    Object.defineProperty(prototype, method, { configurable: true, writable: true, value: held })
  }
}

function heldMethod(method: HeaderMethod) {
  return function held(this: ServerResponse, ...args: unknown[]): unknown {
    const handler = handlerOf(this)
    if (handler?.isWaiting) throw headersSentError(verbs[method])
    return handler?.callHeader(method, args)
  }
}
