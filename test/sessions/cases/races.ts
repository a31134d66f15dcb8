import { setTimeout as sleep } from 'node:timers/promises'
import { isFullTier } from '@stowage/test-servers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { maxAges, type Step } from '../app/app.mjs'
import { Apps, type Browser } from './apps.ts'
import { endsOfUsers } from './users.ts'

const concurrentRequests = 100
const hosts = [
  ...['plain', 'resave', 'own', 'fastify'],
  ...(isFullTier ? ['ownFastify', 'ownHono', 'ownKoa'] : []),
]

/** Requests of unmodified express-session that overlap, in one process and in four. */
export function sessionRaces(backend: string, sizes: readonly number[] = [1, 4]): void {
  describe.each(sizes)('%i processes', (size) => {
    let apps: Apps
    beforeAll(async () => {
      apps = await Apps.start(backend, size)
    })
    afterAll(() => apps?.stop())

    const expectEnded = async (app: string, browser: Browser) => {
      for (const session of await apps.readAll(app, browser)) expect(session).toEqual({})
    }

    describe.each(hosts)('%s', (app) => {
      const slowRequests = {
        'a slow writing request': [['set', 'n', 1]],
        'a slow reading request': [],
        'a slow request that saves by hand': [['set', 'n', 1], ['save'], ['set', 'n', 2], ['save']],
        'a slow request that only saves': [['save']],
      } as const

      test.each(Object.entries(slowRequests))('a logout during %s is final', async (_, steps) => {
        const browser = await apps.logIn(app)
        const slow = await apps.hold(app, browser, [], steps)
        await apps.request(app, { ...browser }, ['destroy'])
        await slow.finish()
        await expectEnded(app, browser)
      })

      test.each(Object.entries(slowRequests))(
        'a new id during %s ends the old one',
        async (_, steps) => {
          const browser = await apps.logIn(app)
          const slow = await apps.hold(app, browser, [], steps)
          const renewed = { ...browser }
          await apps.request(app, renewed, ['regenerate'], ['set', 'user', 'ada again'])
          await slow.finish()
          await expectEnded(app, browser)
          expect(await apps.readAll(app, renewed)).toContainEqual({ user: 'ada again' })
        },
      )

      test('clear during a slow writing request is final', async () => {
        const browser = await apps.logIn(app)
        const slow = await apps.hold(app, browser, [], [['set', 'n', 1]])
        await apps.request(app, { cookie: '' }, ['clear'])
        await slow.finish()
        // Where keys cannot be listed, other processes notice a clear within a second.
        if (!apps.backend.canList) await sleep(1_100)
        await expectEnded(app, browser)
        const after = await apps.logIn(app)
        for (const session of await apps.readAll(app, after))
          expect(session).toEqual({ user: 'ada' })
      })

      test('a session that was destroyed is not saved late', async () => {
        const browser = await apps.logIn(app)
        await apps.request(app, { ...browser }, ['saveDestroyed', 'n'])
        await expectEnded(app, browser)
      })

      test('requests that write different keys keep both', async () => {
        const browser = await apps.logIn(app)
        const slow = await apps.hold(app, browser, [['set', 'a', 1]], [['set', 'b', 1]])
        await apps.request(app, browser, ['set', 'c', 1], ['delete', 'user'])
        await slow.finish()
        for (const session of await apps.readAll(app, browser))
          expect(session).toEqual({ a: 1, b: 1, c: 1 })
      })

      test('a slow reading request does not take back a fast write', async () => {
        const browser = await apps.logIn(app)
        const slow = await apps.hold(app, browser, [], [])
        await apps.request(app, browser, ['set', 'n', 1])
        await slow.finish()
        for (const session of await apps.readAll(app, browser))
          expect(session).toEqual({ user: 'ada', n: 1 })
      })

      test('a second save after a merge keeps the key of the other request', async () => {
        const browser = await apps.logIn(app)
        const slow = await apps.hold(
          app,
          browser,
          [],
          [['set', 'a', 1], ['save'], ['set', 'a', 2], ['save'], ['delete', 'a']],
        )
        await apps.request(app, browser, ['set', 'b', 1])
        await slow.finish()
        for (const session of await apps.readAll(app, browser))
          expect(session).toEqual({ user: 'ada', b: 1 })
      })

      test('"remember me" survives a request that was slower', async () => {
        const browser = await apps.logIn(app)
        const slow = await apps.hold(app, browser, [], [['set', 'n', 1]])
        const remembering = { ...browser }
        await apps.request(app, remembering, ['remember', 1_000_000])
        await slow.finish()
        expect((await apps.request(app, browser)).read).toEqual({ user: 'ada', n: 1 })
      })

      test(`${concurrentRequests} requests at once each add a key`, async () => {
        const browser = await apps.logIn(app)
        const requests = Array.from({ length: concurrentRequests }, (_, index) =>
          apps.hold(app, browser, [], [['set', `key${index}`, index]]),
        )
        const held = await Promise.all(requests)
        await Promise.all(held.map((request) => request.finish()))
        for (const session of await apps.readAll(app, browser)) {
          expect(Object.keys(session as object)).toHaveLength(concurrentRequests + 1)
        }
      })
    })

    endsOfUsers(() => apps)

    test('a session that was touched is saved after the maxAge of its last save', async () => {
      let visits: Awaited<ReturnType<typeof visitInTime>>
      do visits = await visitInTime()
      while (visits === undefined)
      const { browser, saved, last } = visits
      expect(saved.read).toEqual({ user: 'ada' })
      expect(last.read).toEqual({ user: 'ada', n: 1 })
      await sleep(6_100 + apps.backend.ttlSlackMs)
      expect((await apps.request('short', browser)).read).toEqual({})
    }, 300_000)

    /** Several requests within the `maxAge` of each other; `undefined` if the machine was too slow for that. */
    async function visitInTime() {
      let lastAt = performance.now()
      let isLate = false
      const browser = await apps.logIn('short')
      const visit = async (...steps: Step[]) => {
        await sleep(1_600)
        const startedAt = performance.now()
        const reply = await apps.request('short', browser, ...steps)
        isLate ||= performance.now() - lastAt > maxAges.short - 300
        lastAt = startedAt
        return reply
      }
      for (let request = 0; request < 5; request++) await visit()
      const saved = await visit(['set', 'n', 1], ['save'])
      const last = await visit()
      return isLate ? undefined : { browser, saved, last }
    }
  })
}
