import { randomUUID } from 'node:crypto'
import { beforeEach, describe, expect, test } from 'vitest'
import type { Apps, Browser } from './apps.ts'

/**
 * All sessions of a user end, also those that were stored before an application listed them: with some processes that list
 * sessions already, and some that do not yet.
 *
 * @param start returns the applications, which run when a test begins
 */
export function endsOfUsers(start: () => Apps): void {
  describe('the sessions of a user that are not listed', () => {
    let apps: Apps
    let user: string

    beforeEach(() => {
      apps = start()
      user = `ada ${randomUUID()}`
    })

    const logIn = async (app: string, name = user): Promise<Browser> => {
      const browser = { cookie: '' }
      await apps.request(app, browser, ['set', 'user', name])
      return browser
    }

    const expectSessions = async (browser: Browser, session: object) => {
      for (const read of await apps.readAll('listed', browser)) expect(read).toEqual(session)
    }

    test('end with the others, and do not come back', async () => {
      const [stolen, slow] = [await logIn('unlisted'), await logIn('unlisted')]
      const listed = await logIn('listed')
      const other = await logIn('unlisted', `${user} other`)
      const saving = await apps.hold('listed', slow, [], [['set', 'n', 1], ['save']])
      await apps.request('listed', { cookie: '' }, ['destroyAllFor', user])
      await saving.finish()
      for (const browser of [stolen, slow, listed]) await expectSessions(browser, {})
      await expectSessions(other, { user: `${user} other` })

      // Neither with a write by a process that does not list sessions, nor with the next login and logout.
      await apps.request('unlisted', { ...stolen }, ['set', 'n', 1])
      const again = await logIn('listed')
      for (const browser of [stolen, slow, listed]) await expectSessions(browser, {})
      await expectSessions(again, { user })
      await apps.request('listed', { ...again }, ['destroy'])
      for (const browser of [stolen, slow, listed, again]) await expectSessions(browser, {})
    })

    test('end with the others after their next write, which lists them', async () => {
      const browser = await logIn('unlisted')
      await apps.request('listed', browser, ['set', 'n', 1])
      await expectSessions(browser, { user, n: 1 })
      await apps.request('listed', { cookie: '' }, ['destroyAllFor', user])
      await expectSessions(browser, {})
      for (const read of await apps.readAll('unlisted', browser)) expect(read).toEqual({})
    })

    test('end without the one that ends the others', async () => {
      const [own, stolen] = [await logIn('unlisted'), await logIn('unlisted')]
      await apps.request('listed', { ...own }, ['destroyOthersOf', user])
      await expectSessions(stolen, {})
      await expectSessions(own, { user })
      await apps.request('listed', own, ['set', 'n', 1])
      await expectSessions(own, { user, n: 1 })
      await apps.request('listed', { cookie: '' }, ['destroyAllFor', user])
      for (const browser of [own, stolen]) await expectSessions(browser, {})
    })
  })
}
