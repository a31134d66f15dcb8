import { fc } from '@stowage/testing/simulation'
import { sessionKeys } from './session-log.ts'

/** What a request does with the session that it has read. */
export type RequestAction =
  | 'read'
  | 'write'
  | 'delete'
  /** Writes one key, saves the session, writes another one and saves it again. */
  | 'write twice'
  | 'destroy'
  /** Gives the session another id. */
  | 'regenerate'
  /** Gives the same session another id. */
  | 'rotate'
  /** Destroys the session and saves it nevertheless. */
  | 'save destroyed'
  /** Saves a session that was not changed. */
  | 'resave'

export type UserSessionCall =
  | {
      readonly op: 'login'
      readonly user: number
      readonly ttlMs?: number | undefined
      /** Whether a process without the option `index` stores the session, so that it is not listed. */
      readonly isUnlisted?: boolean
    }
  | {
      readonly op: 'request'
      readonly user: number
      readonly action: RequestAction
      readonly key: number
      /** Time between the read and the write, in milliseconds. */
      readonly ms: number
      /** Whether the browser has an older cookie. */
      readonly isOld: boolean
    }
  /** Creates a session with an id that exists. */
  | { readonly op: 'collide'; readonly user: number }
  | { readonly op: 'clear' }
  /** Ends all sessions of a user, except the newest one if `isKept`. */
  | { readonly op: 'destroy all'; readonly user: number; readonly isKept: boolean }

export const users = 3

const user = fc.nat({ max: users - 1 })
const login = fc.record({
  op: fc.constant('login'),
  user,
  ttlMs: fc.constantFrom(undefined, undefined, undefined, 150, 400),
  isUnlisted: fc.nat({ max: 3 }).map((draw) => draw === 0),
})
const request = fc.record({
  op: fc.constant('request'),
  user,
  action: fc.constantFrom<RequestAction[]>(
    'read',
    'read',
    'write',
    'write',
    'write',
    'write twice',
    'delete',
    'resave',
    'destroy',
    'regenerate',
    'rotate',
    'save destroyed',
  ),
  key: fc.nat({ max: sessionKeys.length - 1 }),
  ms: fc.oneof(fc.nat({ max: 10 }), fc.nat({ max: 80 })),
  isOld: fc.nat({ max: 5 }).map((draw) => draw === 0),
})

/** Requests of a few users, with any overlap. */
export const userSessionCall = fc.oneof(
  { weight: 16, arbitrary: login },
  { weight: 80, arbitrary: request },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('collide'), user }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('clear') }) },
  {
    weight: 3,
    arbitrary: fc.record({ op: fc.constant('destroy all'), user, isKept: fc.boolean() }),
  },
) as unknown as fc.Arbitrary<UserSessionCall>
