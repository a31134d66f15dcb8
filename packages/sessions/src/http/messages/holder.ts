import type { IncomingMessage, ServerResponse } from 'node:http'

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

/** The property of a request that leads from its response to the handler. */
export const holderKey: unique symbol = Symbol('stowage.session')

/** A request with the handler of its response. */
export interface HeldRequest extends IncomingMessage {
  [holderKey]?: { readonly held: CallHandler | undefined }
}

export function handlerOf(response: ServerResponse): CallHandler | undefined {
  return (response.req as HeldRequest | undefined)?.[holderKey]?.held
}
