import { Cache, type CacheStore } from '@stowage/core'
import { wrapStore } from '@stowage/core/driver'
import { memory } from '@stowage/memory'
import { Sessions, type SessionsOptions } from '@stowage/sessions'

export type TestSession = Record<string, unknown>
type Options = Partial<SessionsOptions<TestSession>>

export interface Setup {
  readonly values?: 'bytes' | 'shared'
  /** Resolution of the ttl of the backend, in milliseconds. */
  readonly ttlStep?: number
  readonly prefix?: string
}

/** Sessions of two processes on one backend, on a manual clock. */
export function setup(
  options: Options = {},
  { values = 'bytes', ttlStep = 1, prefix = 's:' }: Setup = {},
) {
  let now = 1_700_000_000_000
  const clock = { now: () => now, sleep: async () => {} }
  const backend = memory({ values, clock })
  const calls: string[] = []
  /** @param fastBy by how much the clock of the process is fast, in milliseconds */
  const createCache = (fastBy = 0): Cache => {
    const store = wrapStore(backend, (operation, call, args) => {
      calls.push(operation)
      // A backend that counts in steps keeps items up to the end of one.
      const at = ttlAt[operation]
      const ttl = at === undefined ? undefined : (args as unknown as number[])[at]
      if (at !== undefined && ttl !== undefined) {
        ;(args as unknown as number[])[at] = Math.ceil(ttl / ttlStep) * ttlStep
      }
      return call()
    })
    const limits = { ...backend.limits, ttlStep }
    return new Cache(Object.defineProperty(store, 'limits', { value: limits }) as CacheStore, {
      prefix,
      ttl: '1d',
      clock: { ...clock, now: () => now + fastBy },
    })
  }
  const create = (more: Options = {}) =>
    new Sessions<TestSession>({ cache: createCache(), ...options, ...more })
  return {
    one: create(),
    two: create(),
    create,
    createCache,
    backend,
    /** The operations that the stores have executed. */
    calls,
    clock,
    advance: (ms: number) => (now += ms),
  }
}

const ttlAt: Readonly<Record<string, number>> = { set: 2, add: 2, compareAndSet: 3, touch: 1 }

/** A cookie as express-session stores it. */
export const cookieOf = (maxAge: number, now: number) => ({
  originalMaxAge: maxAge,
  expires: new Date(now + maxAge).toISOString(),
  httpOnly: true,
  path: '/',
})

/** Reads a session that must exist. */
export async function readExisting(
  sessions: Sessions<TestSession>,
  id = 'id',
): Promise<TestSession> {
  const session = await sessions.read(id)
  if (session === undefined) throw new Error(`Session ${id} does not exist.`)
  return session
}
