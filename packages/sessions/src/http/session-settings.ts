import { milliseconds } from '@stowage/core'
import type { Sessions } from '../sessions.ts'
import {
  createIdReader,
  createSigner,
  type IdReader,
  type Signer,
  withMemory,
} from './cookies/cookie-header.ts'
import {
  checkMiddlewareOptions,
  nameOf,
  type SessionMiddlewareOptions,
  secretsOf,
  sessionsOf,
} from './middleware-options.ts'
import type { RequestSession } from './request-session.ts'

/** The options of a middleware, checked. */
export interface Settings {
  readonly options: SessionMiddlewareOptions
  readonly sessions: Sessions<RequestSession>
  readonly name: string
  /** In milliseconds. */
  readonly rotateAfter: number
  readonly sign: Signer
  readonly readId: IdReader
}

/** @throws CacheError `ERR_CACHE_CONFIG` for invalid options */
export function settingsOf(options: SessionMiddlewareOptions): Settings {
  checkMiddlewareOptions(options)
  const sessions = sessionsOf(options.store) as Sessions<RequestSession>
  const name = nameOf(options)
  const { rotateAfter } = options
  // The first one signs, and the signatures of all are accepted.
  const signers = secretsOf(options).map(createSigner)
  const readId = createIdReader(name, signers)
  return {
    ...{ options, sessions, name, sign: withMemory(signers[0] as Signer), readId },
    rotateAfter: rotateAfter === undefined ? Infinity : milliseconds(rotateAfter),
  }
}
