// What an application with sessions does, for the hosts of all session libraries.
import { Cache } from '@stowage/core'
import { Deferred } from '@stowage/core/internal'
import { memory } from '@stowage/memory'
import { Sessions } from '@stowage/sessions'
import { describe, expect, test } from 'vitest'
import { backends, recorded, unreachable } from './backends.ts'

/** The session of a request, by the methods of a library. */
export interface SessionApi {
  fields(): object | Promise<object>
  set(changes: Readonly<Record<string, string>>): unknown
  end(): unknown
  /** Gives the session another id; absent if the library cannot. */
  regenerate?(): unknown
}

/** Holds a request, after it has changed its session and before it is stored. */
export class Gate {
  readonly arrived: Deferred<void> = new Deferred<void>()
  readonly released: Deferred<void> = new Deferred<void>()
}

type Request = (path: string, cookie?: string) => Promise<Response>

export interface SessionHost<Store> {
  readonly name: string
  /** The store of the bridge. */
  readonly create: (sessions: Sessions) => Store
  /** What one would write at first. */
  readonly naive: (cache: Cache) => Store
  /** Starts an application, whose requests `respond` answers. */
  readonly start: (store: Store, gate: Gate) => Promise<Request>
  /** Whether changes of different keys are merged. @default true */
  readonly merges?: boolean
  /** The status of a request whose session cannot be read. */
  readonly unreadable: number
  /** Whether a session can get another id, with its fields. @default false */
  readonly regenerates?: boolean
}

/** Answers a request of an application with `/set`, `/hold`, `/renew`, `/get` and `/end`. */
export async function respond(url: string, session: SessionApi, gate: Gate): Promise<object> {
  const { pathname, searchParams } = new URL(url, 'http://127.0.0.1')
  if (searchParams.size > 0) await session.set(Object.fromEntries(searchParams))
  if (pathname === '/hold' || pathname === '/renew') {
    gate.arrived.resolve()
    await gate.released.promise
  }
  if (pathname === '/renew') await session.regenerate?.()
  if (pathname !== '/end') return session.fields()
  await session.end()
  return {}
}

/** The cookies that a response sets, as the browser sends them back. */
export function cookieOf(response: Response): string {
  const pairs = response.headers.getSetCookie().map((cookie) => cookie.split(';')[0] as string)
  // The last one of each name.
  return [...new Map(pairs.map((pair) => [pair.split('=')[0], pair])).values()].join('; ')
}

async function begin(request: Request): Promise<{ cookie: string; get: () => Promise<object> }> {
  const response = await request('/set?user=ada')
  expect(response.status).toBe(200)
  const cookie = cookieOf(response)
  return { cookie, get: async () => (await request('/get', cookie)).json() as Promise<object> }
}

/** The session under the id that a slow request has given it, after the change or logout `path`. */
async function renew(request: Request, gate: Gate, path: string): Promise<object> {
  const { cookie, get } = await begin(request)
  const slow = request('/renew?held=yes', cookie)
  await gate.arrived.promise
  await request(path, cookie)
  gate.released.resolve()
  const renewed = cookieOf(await slow)
  expect(await get()).toEqual({})
  return (await request('/get', renewed)).json() as Promise<object>
}

/** The session after a slow request has ended later than a change and, perhaps, a logout. */
async function race(request: Request, gate: Gate, path: string): Promise<object> {
  const { cookie, get } = await begin(request)
  const slow = request('/hold?held=yes', cookie)
  await gate.arrived.promise
  await request(path, cookie)
  gate.released.resolve()
  await slow
  return get()
}

export function sessionTests<Store>(host: SessionHost<Store>): void {
  const { name, create, naive, start, merges = true, unreadable, regenerates = false } = host

  describe.each(backends)(`${name} on $name`, (backend) => {
    const createStore = backend.use()
    const open = async (gate = new Gate()) => {
      const cache = new Cache(createStore(), { prefix: `s${crypto.randomUUID()}:`, ttl: '1h' })
      return start(create(new Sessions({ cache })), gate)
    }

    test('keeps a session until it ends', async () => {
      const request = await open()
      const { cookie, get } = await begin(request)
      expect(await get()).toEqual({ user: 'ada' })
      await request('/set?cart=lamp', cookie)
      expect(await get()).toEqual({ user: 'ada', cart: 'lamp' })
      expect(await (await request('/get')).json()).toEqual({})
      expect((await request('/end', cookie)).status).toBe(200)
      expect(await get()).toEqual({})
    })

    test('a slower request does not store a session again that has ended', async () => {
      const gate = new Gate()
      expect(await race(await open(gate), gate, '/end')).toEqual({})
    })

    test('keeps the changes of two requests to different keys', async () => {
      const gate = new Gate()
      const session = await race(await open(gate), gate, '/set?cart=lamp')
      const lost = merges ? { cart: 'lamp' } : {}
      expect(session).toEqual({ user: 'ada', held: 'yes', ...lost })
    })

    if (!regenerates) return
    test('a session that has ended is not taken to another id', async () => {
      const [before, after] = [new Gate(), new Gate()]
      expect(await renew(await open(before), before, '/get')).toEqual({ user: 'ada', held: 'yes' })
      expect(await renew(await open(after), after, '/end')).toEqual({ held: 'yes' })
    })
  })

  describe(name, () => {
    test('a naive store does store an ended session again', async () => {
      const gate = new Gate()
      const request = await start(naive(new Cache(memory(), { ttl: '1h' })), gate)
      expect(await race(request, gate, '/end')).toEqual({ user: 'ada', held: 'yes' })
    })

    test('keeps keys that the engine reserves', async () => {
      const request = await start(create(new Sessions({ cache: new Cache(memory()) })), new Gate())
      const { cookie, get } = await begin(request)
      await request(`/set?cookie=a&~=b&:c=d`, cookie)
      expect(await get()).toEqual({ user: 'ada', cookie: 'a', '~': 'b', ':c': 'd' })
    })

    test('a request that changes nothing writes nothing', async () => {
      const { store, calls } = recorded()
      const sessions = new Sessions({ cache: new Cache(store, { ttl: '1h' }) })
      const { get } = await begin(await start(create(sessions), new Gate()))
      const before = calls.length
      await get()
      expect(calls.slice(before).map(([call]) => call)).toEqual(['get'])
    })

    test('the backend has neither the ids of sessions nor entries without a ttl', async () => {
      const { store, calls } = recorded()
      const sessions = new Sessions({ cache: new Cache(store, { prefix: 'app:' }) })
      const { cookie } = await begin(await start(create(sessions), new Gate()))
      const id = decodeURIComponent(cookie).replace(/^.*?=/, '').slice(0, 16)
      const writes = calls.filter(([call]) => call === 'add' || call === 'compareAndSet')
      expect(writes.length).toBeGreaterThan(0)
      for (const [, args] of writes) {
        expect(args.at(-1)).toBeGreaterThan(0)
        expect(JSON.stringify(args.map(String))).not.toContain(id)
      }
    })

    test(`a session that cannot be read: status ${unreadable}`, async () => {
      const sessions = new Sessions({ cache: new Cache(unreachable()) })
      const working = new Sessions({ cache: new Cache(memory()) })
      const { cookie } = await begin(await start(create(working), new Gate()))
      const request = await start(create(sessions), new Gate())
      expect((await request('/get', cookie)).status).toBe(unreadable)
    })
  })
}
