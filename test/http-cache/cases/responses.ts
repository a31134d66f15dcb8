import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { TwoApps } from './two-apps.ts'

/** The host is part of the key, and both applications are on one host behind a load balancer. */
const key = ({ url }: { url?: string | undefined }) => `page ${url}`

/** Checks the responses of two applications that share a backend. */
export function responseCases(name: string): void {
  describe(name, () => {
    let apps: TwoApps
    beforeAll(async () => {
      apps = await TwoApps.start(name)
    })
    afterAll(() => apps.stop())

    test('stores small and large bodies byte for byte, for both', async () => {
      const bodies: Record<string, Buffer> = {
        '/empty': Buffer.alloc(0),
        '/small': randomBytes(1_000),
        '/inline': randomBytes(16_000),
        '/large': randomBytes(200_000),
      }
      let calls = 0
      const get = await apps.serve({ key }, (app) => {
        app.get(/.*/, (request, response) => {
          calls++
          response.type('application/octet-stream').send(bodies[request.path])
        })
      })
      for (const path of Object.keys(bodies)) {
        for (const index of [0, 1, 0]) {
          expect((await get(index, path)).bytes.equals(bodies[path] as Buffer), path).toBe(true)
        }
      }
      expect(calls).toBe(4)
    })

    test('renders once for concurrent requests of both', async () => {
      let calls = 0
      const get = await apps.serve({ key }, (app) => {
        app.get('/once', async (_request, response) => {
          calls++
          await delay(200)
          response.send('once')
        })
      })
      const replies = await Promise.all([0, 1, 0, 1, 0, 1].map((index) => get(index, '/once')))
      expect(replies.map(({ body }) => body)).toEqual(Array(6).fill('once'))
      expect(calls).toBe(1)
    })

    test('invalidates variants, encodings and tags in both', async () => {
      let calls = 0
      const get = await apps.serve({ key, tags: ['pages'] }, (app) => {
        app.get('/vary', (request, response) => {
          response.vary('Accept-Language').type('text')
          response.send(`${request.headers['accept-language']} ${++calls} ${'x'.repeat(5_000)}`)
        })
      })
      const read = async (index: number, language: string) => {
        const { body } = await get(index, '/vary', { headers: { 'accept-language': language } })
        return body.slice(0, 4)
      }
      const all = async () => [
        await read(0, 'de'),
        await read(1, 'en'),
        await read(1, 'de'),
        await read(0, 'en'),
      ]
      expect(await all()).toEqual(['de 1', 'en 2', 'de 1', 'en 2'])
      await apps.caches[1]?.invalidateTags('pages')
      expect(await all()).toEqual(['de 3', 'en 4', 'de 3', 'en 4'])
      await apps.caches[0]?.delete('page /vary')
      expect(await all()).toEqual(['de 5', 'en 6', 'de 5', 'en 6'])
    })

    test('does not store what was rendered before an invalidation', async () => {
      let version = 1
      const get = await apps.serve({ key, tags: ['data'] }, (app) => {
        app.get('/data', async (_request, response) => {
          const read = version
          await delay(100)
          response.send(`version ${read}`)
        })
      })
      const slow = get(0, '/data')
      await delay(50)
      version = 2
      await apps.caches[1]?.invalidateTags('data')
      await slow
      expect((await get(1, '/data')).body).toBe('version 2')
      expect((await get(0, '/data')).body).toBe('version 2')
    })

    test('does not share a private response with waiting requests of both', async () => {
      const get = await apps.serve({ key }, (app) => {
        app.get('/private', async (request, response) => {
          await delay(50)
          response.set('Cache-Control', 'private').send(String(request.headers['x-name']))
        })
      })
      const names = ['ada', 'bob', 'cleo', 'dan']
      const replies = names.map((each, index) =>
        get(index % 2, '/private', { headers: { 'x-name': each } }),
      )
      expect((await Promise.all(replies)).map(({ body }) => body)).toEqual(names)
    })
  })
}
