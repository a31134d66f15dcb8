import { describe, expect, onTestFinished, test } from 'vitest'
import { Apps } from './apps.ts'

/** Requests of one session that change the same key, in two processes. */
export function sessionLocks(backend: string): void {
  const hosts = ['locked', 'lockedOwn', 'lockedFastify', 'lockedHono', 'lockedKoa']
  describe.each(hosts)('sessionLock, %s', (app) => {
    const start = async () => {
      const apps = await Apps.start(backend, 2)
      onTestFinished(() => apps.stop())
      return apps
    }

    test('requests in two processes keep the changes of all others to one key', async () => {
      const apps = await start()
      const browser = await apps.logIn(app)
      const numbers = Array.from({ length: 20 }, (_, index) => index)
      const requests = numbers.map((n) => apps.request(app, { ...browser }, ['add', 'list', n]))
      await Promise.all(requests)
      const [session] = await apps.readAll(app, browser)
      const { list } = session as { list: number[] }
      expect(list.sort((a, b) => a - b)).toEqual(numbers)
    })

    test('a request that has crashed holds the lock no longer than its ttl', async () => {
      const apps = await start()
      const browser = await apps.logIn(app)
      const crashing = await apps.hold(app, browser, [['add', 'list', 1]], [])
      await crashing.crash()
      // The ttl is two seconds. Without it, the request would fail after 20.
      const { data } = await apps.request(app, browser, ['add', 'list', 2])
      expect(data).toEqual({ user: 'ada', list: [2] })
    })
  })
}
