import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { promisify } from 'node:util'
import { Cache, CacheError } from '@stowage/core'
import { wrapStore } from '@stowage/core/driver'
import { memory } from '@stowage/memory'
import {
  addFlash,
  type RequestSession,
  type SessionMiddlewareOptions,
  Sessions,
  session,
  sessionChannels,
  takeFlash,
  wasSessionUsed,
} from '@stowage/sessions'
import { ManualClock } from '@stowage/testing'
import { afterEach, describe, expect, onTestFinished, test, vi } from 'vitest'

type Handle = (
  request: IncomingMessage & { session: RequestSession },
  response: ServerResponse,
) => unknown
const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

function createSessions() {
  const cache = new Cache(memory(), { prefix: 'session:', ttl: '1d' })
  return new Sessions<Record<string, unknown>>({ cache })
}

/** A server of `node:http`, without a framework. */
async function serve(
  handle: Handle,
  { headers, ...options }: Partial<SessionMiddlewareOptions> & { headers?: object } = {},
) {
  const store = createSessions()
  const middleware = session({ secret: 'test only', store, ...options })
  let prepare: (response: ServerResponse) => void = () => {}
  const server = createServer((request, response) => {
    middleware(request, response, async (error) => {
      prepare(response)
      if (error !== undefined) response.writeHead(500).end(String(error))
      else await handle(request as Parameters<Handle>[0], response)
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  cleanups.push(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  let cookie = ''
  const getWith = async (cookie: string, path = '/') => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, {
      headers: { ...headers, cookie },
    })
    const setCookies = response.headers.getSetCookie()
    const cacheControl = response.headers.get('cache-control')
    return { status: response.status, text: await response.text(), setCookies, cacheControl }
  }
  const get = async (path = '/') => {
    const reply = await getWith(cookie, path)
    for (const each of reply.setCookies) cookie = each.split(';')[0] ?? ''
    return reply
  }
  const onRequest = (call: typeof prepare) => {
    prepare = call
  }
  return { get, getWith, store, cookie: () => cookie, onRequest }
}

/** What a proxy adds that ends TLS. */
const https = { 'x-forwarded-proto': 'https' }

const done = (call: (callback: (error?: unknown) => void) => unknown) =>
  new Promise<void>((resolve, reject) => {
    call((error) => (error === undefined ? resolve() : reject(error)))
  })

describe('on a server of node:http', () => {
  test('a cookie that a neighbouring host has set in place of one with the prefix __Host- opens no session', async () => {
    const { getWith } = await serve(
      ({ session, url }, response) => {
        if (url !== '/') session.user = url
        response.end(String(session.user ?? 'nobody'))
      },
      { name: '__Host-sid', cookie: { secure: true }, proxy: true, headers: https },
    )
    const cookies = await Promise.all(['/planted', '/own'].map((path) => getWith('', path)))
    const [planted, own] = cookies.map(({ setCookies }) => setCookies[0]?.split(';')[0] as string)
    expect((await getWith(own as string)).text).toBe('/own')
    expect((await getWith(`\xa0${planted}; ${own}`)).text).toBe('nobody')
    expect((await getWith(`\xa0${planted}`)).text).toBe('nobody')
  })

  test('a secure cookie that cannot be sent is a warning of the process, once', async () => {
    // In a process of its own: another test of this one may have had the warning.
    const program = `
      import { createServer } from 'node:http'
      import { Cache } from '@stowage/core'
      import { memory } from '@stowage/memory'
      import { session, Sessions } from '@stowage/sessions'

      const warnings = []
      process.on('warning', ({ code, message }) => {
        if (code === 'STOWAGE_COOKIE_NOT_SENT') warnings.push(message)
      })
      const store = new Sessions({ cache: new Cache(memory()) })
      const middleware = session({ secret: 'secret', store, cookie: { secure: true } })
      const server = createServer((request, response) =>
        middleware(request, response, () => {
          request.session.user = 'ada'
          response.end()
        }),
      )
      server.listen(0, '127.0.0.1', async () => {
        const cookies = []
        for (let requests = 0; requests < 2; requests++) {
          const { headers } = await fetch('http://127.0.0.1:' + server.address().port)
          cookies.push(...headers.getSetCookie())
        }
        setImmediate(() => {
          console.log(JSON.stringify({ cookies, warnings }))
          process.exit()
        })
      })`
    const args = ['--input-type=module', '--eval', program]
    const { stdout } = await promisify(execFile)(process.execPath, args, {
      cwd: import.meta.dirname,
    })
    expect(JSON.parse(stdout)).toEqual({
      cookies: [],
      warnings: [expect.stringContaining("app.set('trust proxy', 1)")],
    })
  })

  test('a session is stored and read', async () => {
    const { get } = await serve(({ session }, response) => {
      session.visits = Number(session.visits ?? 0) + 1
      response.end(String(session.visits))
    })
    expect((await get()).text).toBe('1')
    expect((await get()).text).toBe('2')
  })

  test('a session whose only key is the time at which its cookie expires is stored', async () => {
    vi.useFakeTimers({ toFake: ['Date'] })
    onTestFinished(() => void vi.useRealTimers())
    const { get } = await serve(
      ({ session, url }, response) => {
        if (url === '/token') session.expires = Date.now() + 60_000
        response.end(typeof session.expires)
      },
      { cookie: { maxAge: 60_000 } },
    )
    await get('/token')
    expect((await get()).text).toBe('number')
  })

  test('destroy and regenerate clear the cookie of a session that has no successor', async () => {
    const { get } = await serve(async ({ session, url }, response) => {
      if (url === '/login') session.user = 'ada'
      if (url === '/logout') await done((callback) => session.destroy(callback))
      if (url === '/forget') await done((callback) => session.regenerate(callback))
      response.end('ok')
    })
    for (const path of ['/logout', '/forget']) {
      await get('/login')
      const { setCookies } = await get(path)
      expect(setCookies, path).toEqual([
        'connect.sid=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly',
      ])
    }
    expect((await get('/other')).setCookies).toEqual([])
  })

  describe('if the store fails, the cookie of the session stays', () => {
    const ends: Record<string, (request: Parameters<Handle>[0]) => unknown> = {
      destroy: ({ session }) => done((callback) => session.destroy(callback)).catch(() => {}),
      'destroy without waiting': ({ session }) => void session.destroy(() => {}),
      'destroy without callback': ({ session }) => void session.destroy(),
      regenerate: ({ session }) => done((callback) => session.regenerate(callback)).catch(() => {}),
      'regenerate without waiting': ({ session }) => void session.regenerate(() => {}),
      'regenerate without callback': ({ session }) => void session.regenerate(),
      'delete request.session': (request) => Reflect.deleteProperty(request, 'session'),
    }

    test.each(Object.keys(ends))('%s', async (name) => {
      let isFailing = false
      const backend = wrapStore(memory(), (operation, call) => {
        if (isFailing) throw new CacheError('ERR_CACHE_UNAVAILABLE', `${operation} fails`)
        return call()
      })
      const store = new Sessions<Record<string, unknown>>({ cache: new Cache(backend) })
      const { get, cookie } = await serve(
        async (request, response) => {
          if (request.url === '/login') request.session.user = 'ada'
          const text = `${request.session.user}`
          isFailing = request.url === '/fail'
          if (request.url !== '/login' && request.url !== '/') await ends[name]?.(request)
          response.end(text)
        },
        { store, unset: 'destroy' },
      )
      await get('/login')
      const before = cookie()
      const { status, setCookies } = await get('/fail')
      isFailing = false
      expect(setCookies).toEqual([])
      // An error that nobody has received is not hidden from the user.
      const isUnknown = name.includes('without callback') || name.startsWith('delete')
      expect(status).toBe(isUnknown ? 500 : 200)
      expect([cookie(), (await get('/')).text]).toEqual([before, 'ada'])
      expect((await get('/end')).setCookies).toEqual([expect.stringMatching(/^connect.sid=; /)])
    })
  })

  describe('an end of the session that fails, and that nobody has received,', () => {
    const ends: Record<string, (request: Parameters<Handle>[0]) => unknown> = {
      'is that of regenerate, before a login': (request) => {
        request.session.regenerate()
        request.session.user = 'bob'
      },
      'is followed by another one': (request) => {
        request.session.regenerate()
        request.session.destroy()
      },
    }

    test.each(Object.keys(ends))('fails the response: it %s', async (name) => {
      let failures = 0
      const backend = wrapStore(memory(), (operation, call) => {
        if (operation !== 'delete' || failures-- <= 0) return call()
        throw new CacheError('ERR_CACHE_UNAVAILABLE', 'the end fails')
      })
      const store = new Sessions<Record<string, unknown>>({ cache: new Cache(backend) })
      const { get } = await serve(
        (request, response) => {
          if (request.url === '/login') request.session.user = 'ada'
          if (request.url === '/end') {
            failures = 1
            ends[name]?.(request)
          }
          response.end(`${request.session?.user}`)
        },
        { store },
      )
      await get('/login')
      const { status, text, setCookies } = await get('/end')
      expect([status, text, setCookies]).toEqual([500, expect.stringContaining('fails'), []])
      expect((await get()).text).toBe('ada')
    })
  })

  test.each(['destroy', 'regenerate', 'reload'] as const)(
    '%s is that of the session of the request, whatever request.sessionID is',
    async (method) => {
      const { get, store } = await serve(async (request, response) => {
        const { session, url } = request
        if (url === '/login') session.user = 'ada'
        if (url === '/assign') {
          Object.assign(request, { sessionID: 'the id of another session' })
          await done((callback) => session[method](callback))
        }
        response.end(`${request.session?.user}`)
      })
      await store.create('the id of another session', { user: 'bob' })
      await get('/login')
      expect((await get('/assign')).text).toBe(method === 'reload' ? 'ada' : 'undefined')
      const users = (await store.all()).map(({ session }) => session.user)
      expect(users.sort()).toEqual(method === 'reload' ? ['ada', 'bob'] : ['bob'])
    },
  )

  test('regenerate keeps the named keys only', async () => {
    const { get } = await serve(async (request, response) => {
      if (request.url === '/fill') Object.assign(request.session, { cart: ['lamp'], csrf: 'x' })
      else await done((callback) => request.session.regenerate({ keep: ['cart', 'id'] }, callback))
      response.end(JSON.stringify(request.session))
    })
    await get('/fill')
    const { cookie, ...data } = JSON.parse((await get('/login')).text)
    expect(data).toEqual({ cart: ['lamp'] })
  })

  describe('of a session that has ended since the request has read it', () => {
    const handle =
      (change: (session: RequestSession) => void, isWaiting: boolean, end: () => Promise<void>) =>
      async ({ session, url }: Parameters<Handle>[0], response: ServerResponse) => {
        if (url === '/fill') Object.assign(session, { user: 'ada', roles: ['admin'] })
        if (url === '/renew') {
          await end()
          change(session)
          const options = { keep: ['user', 'roles'] }
          if (isWaiting) await done((callback) => session.regenerate(options, callback))
          else session.regenerate(options)
        }
        response.end(JSON.stringify({ user: session.user, roles: session.roles }))
      }

    test.each([
      [true, { rotation: false }],
      [false, { rotation: false }],
      [true, { rotation: true }],
    ])('regenerate keeps nothing; waits: %s, %o', async (isWaiting, options) => {
      const index = ({ user }: Record<string, unknown>) => user as string | undefined
      const cache = new Cache(memory(), { prefix: 'session:', ttl: '1d' })
      const indexSecret = 'a secret of the test'
      const store = new Sessions({ cache, index, indexSecret, ...options })
      const end = () => store.destroyAllFor('ada')
      const { get, cookie } = await serve(
        handle(() => {}, isWaiting, end),
        { store },
      )
      await get('/fill')
      const stolen = cookie()
      await get('/renew')
      expect(await store.of('ada')).toEqual([])
      expect(await get()).toMatchObject({ text: '{}' })
      expect(cookie()).not.toBe(stolen)
    })

    test('regenerate keeps nothing if it is called again before the first call has finished', async () => {
      const store = createSessions()
      const { get } = await serve(
        async (request, response) => {
          if (request.url === '/fill') request.session.user = 'ada'
          if (request.url === '/renew') {
            await store.clear()
            request.session.regenerate({ keep: ['user'] })
            request.session.regenerate({ keep: ['user'] })
          }
          response.end(JSON.stringify({ user: request.session.user }))
        },
        { store },
      )
      await get('/fill')
      await get('/renew')
      expect(await get()).toMatchObject({ text: '{}' })
    })

    test('regenerate ends the session, whatever the values of the keys to keep are', async () => {
      const { get } = await serve(async (request, response) => {
        const { session } = request
        if (request.url === '/fill') session.user = 'ada'
        else {
          session.user = 1n
          session.regenerate({ keep: ['user'] })
          Reflect.deleteProperty(request.session, 'user')
        }
        response.end(request.session.id)
      })
      const { text: id } = await get('/fill')
      expect((await get('/renew')).text).not.toBe(id)
      expect((await get()).status).toBe(200)
    })

    test('to keep a text in place of a list is an error', async () => {
      const { get } = await serve(({ session }, response) => {
        expect(() => session.regenerate({ keep: 'user' as never })).toThrow(/must be a list/)
        response.end()
      })
      expect((await get()).status).toBe(200)
    })

    test('regenerate keeps what the request has changed', async () => {
      const store = createSessions()
      const change = (session: RequestSession) => {
        session.user = 'bob'
      }
      const { get } = await serve(
        handle(change, true, () => store.clear()),
        { store },
      )
      await get('/fill')
      await get('/renew')
      expect(await get()).toMatchObject({ text: '{"user":"bob"}' })
    })
  })

  test('tells whether the application has used the session', async () => {
    const used: boolean[] = []
    const { get } = await serve((request, response) => {
      if (request.url === '/used') request.session.n = 1
      response.end()
      used.push(wasSessionUsed(request))
    })
    await get('/used')
    await get('/unused')
    expect(used).toEqual([true, false])
  })

  test('changes after the response has begun are not stored, and published', async () => {
    const late: unknown[] = []
    const listen = (event: unknown) => late.push(event)
    sessionChannels.late.subscribe(listen)
    const { get, store } = await serve(({ session, url }, response) => {
      if (url === '/read') return response.end(JSON.stringify(session.n))
      session.n = 1
      response.write('begun')
      session.n = 2
      return response.end()
    })
    await get('/late')
    expect((await get('/read')).text).toBe('1')
    sessionChannels.late.unsubscribe(listen)
    expect(late).toEqual([{ cache: 'memory', key: (await store.keys())[0] }])
  })

  test('a late change that cannot be stored is published, and the response is complete', async () => {
    const late: unknown[] = []
    const listener = (event: unknown) => late.push(event)
    sessionChannels.late.subscribe(listener)
    cleanups.push(() => sessionChannels.late.unsubscribe(listener))
    const { get } = await serve(({ session }, response) => {
      session.n = 1
      response.write('first ')
      session.n = 1n
      response.end('last')
    })
    expect(await get()).toMatchObject({ status: 200, text: 'first last' })
    expect(late).toHaveLength(1)
  })

  test('data that changes the prototype of a session does not choose its id', async () => {
    const { get, cookie } = await serve((request, response) => {
      const { session, url } = request
      const key = url === '/pollute' ? '__proto__' : 'n'
      session[key] = { id: 'chosen by a client' }
      response.end(request.session.id)
    })
    const { text: id } = await get()
    const before = cookie()
    await get('/pollute')
    expect(cookie()).toBe(before)
    expect(await get()).toMatchObject({ text: id, status: 200 })
  })

  test.each<[string, Handle]>([
    [
      'request.session by an object',
      (request) => {
        request.session = { user: 'ada' } as never
      },
    ],
    [
      'its cookie by an object',
      ({ session }) => {
        session.cookie = {} as never
      },
    ],
  ])('to replace %s is a clear error', async (_, replace) => {
    const { get } = await serve(async (request, response) => {
      await replace(request, response)
      response.end()
    })
    expect(await get()).toMatchObject({
      status: 500,
      text: expect.stringContaining('request.session must be a session'),
    })
  })

  test.each([[''], [5], ['\ud800'], [Promise.resolve('an id')]])(
    'a genid that returns %o is an error of the request',
    async (id) => {
      const { get } = await serve((_, response) => response.end(), { genid: () => id as never })
      expect(await get()).toMatchObject({ status: 500, text: expect.stringMatching(/genid must/) })
    },
  )

  test('a cookie without a lifetime does not expire at once, whatever stands for none', async () => {
    for (const none of [false, undefined, Number.NaN]) {
      const { get } = await serve(({ session }, response) => {
        session.n = 1
        session.cookie.originalMaxAge = none as never
        response.end()
      })
      expect((await get()).setCookies).toEqual([expect.not.stringMatching(/Expires/)])
    }
  })

  test('a piped response waits for the session, and is complete', async () => {
    const chunks = Array.from({ length: 50 }, (_, index) => `${index}${'x'.repeat(20_000)}`)
    const { get } = await serve(({ session }, response) => {
      session.n = Math.random()
      Readable.from(chunks).pipe(response)
    })
    expect((await get()).text).toBe(chunks.join(''))
  })

  test('a handler cannot respond twice while the session is being stored', async () => {
    const sent: boolean[] = []
    const { get } = await serve(({ session }, response) => {
      session.n = 1
      response.end('first')
      sent.push(response.headersSent)
      response.end('second')
      response.write('third')
    })
    expect((await get()).text).toBe('first')
    expect(sent).toEqual([true])
  })

  test('two requests at once keep the changes of both', async () => {
    const { get } = await serve(async ({ session, url = '' }, response) => {
      if (url !== '/read') {
        await new Promise((resolve) => setTimeout(resolve, 20))
        session[url] = true
      }
      response.end(JSON.stringify(session))
    })
    await get('/first')
    await Promise.all([get('/a'), get('/b')])
    expect(JSON.parse((await get('/read')).text)).toMatchObject({
      '/first': true,
      '/a': true,
      '/b': true,
    })
  })

  test('a message is shown once, after a redirect', async () => {
    const { get } = await serve(({ session, url }, response) => {
      if (url === '/save') {
        addFlash(session, 'notice', 'saved')
        addFlash(session, 'notice', 'twice')
      }
      response.end(url === '/save' ? 'redirect' : JSON.stringify(takeFlash(session)))
    })
    await get('/save')
    expect((await get('/page')).text).toBe('{"notice":["saved","twice"]}')
    expect((await get('/page')).text).toBe('{}')
  })
})

describe('options', () => {
  const store = createSessions()
  test.each([
    ['secret', { secret: [] }],
    ['secret', { secret: '' }],
    ['secret', { secret: undefined as never }],
    ['store', { store: {} as never }],
    ['name', { name: 'a b' }],
    ['unset', { unset: 'delete' as never }],
    ['secret', { secret: [Buffer.alloc(0)] }],
    ['genid', { genid: 'id' as never }],
    ['maxAge', { cookie: { maxAge: '1 hour' as never } }],
    ['expiry', { cookie: { expires: new Date(Number.NaN) } }],
    ['__Host-', { name: '__Host-sid' }],
    ['__Host-', { name: '__Host-sid', cookie: { secure: true, path: '/admin' } }],
    ['__Host-', { name: '__Host-sid', cookie: { secure: true, domain: 'example.com' } }],
    ['__Secure-', { name: '__Secure-sid' }],
    ['partitioned', { cookie: { partitioned: true } }],
  ] as [string, Partial<SessionMiddlewareOptions>][])('%s: %j is rejected', (problem, options) => {
    expect(() => session({ secret: 'x', store, ...options })).toThrow(problem)
  })

  test('the name of the cookie may be called key', async () => {
    const { get } = await serve(
      ({ session }, response) => {
        session.n = 1
        response.end()
      },
      { key: 'sid' },
    )
    expect((await get()).setCookies).toEqual([expect.stringMatching(/^sid=s%3A/)])
  })

  test('a cookie with the prefix __Host- may be partitioned', async () => {
    const { get } = await serve(
      ({ session }, response) => {
        session.n = 1
        response.end()
      },
      {
        name: '__Host-sid',
        proxy: true,
        cookie: (request) => ({
          secure: request !== undefined,
          partitioned: true,
          sameSite: 'none',
        }),
      },
    )
    expect((await get()).setCookies).toEqual([])
    const { get: secure } = await serve(
      ({ session, headers }, response) => {
        headers['x-forwarded-proto'] = 'https'
        session.n = 1
        response.end()
      },
      {
        name: '__Host-sid',
        proxy: true,
        cookie: { secure: true, partitioned: true, sameSite: 'none' },
      },
    )
    expect((await secure()).setCookies).toEqual([
      expect.stringMatching(
        /^__Host-sid=s%3A[^;]+; Path=\/; HttpOnly; Secure; Partitioned; SameSite=None$/,
      ),
    ])
  })
})

describe('rotateAfter', () => {
  const rotating = (clock: ManualClock) => {
    const cache = new Cache(memory({ clock }), { prefix: 'session:', ttl: '1d', clock })
    return new Sessions<Record<string, unknown>>({ cache, rotation: true })
  }

  test('gives the browser another id, and answers requests with the old one for half a minute', async () => {
    const clock = new ManualClock()
    const store = rotating(clock)
    const app = await serve(
      ({ session }, response) => {
        session.visits = Number(session.visits ?? 0) + 1
        response.end(`${session.visits}`)
      },
      { store, rotateAfter: '10m' },
    )
    await app.get()
    const old = app.cookie()
    expect((await app.get()).setCookies).toEqual([])
    await clock.advance(600_000)
    const [late, rotated] = [await app.get(), await app.get()]
    expect(late.setCookies).toHaveLength(1)
    expect(app.cookie()).not.toBe(old)
    expect(rotated).toMatchObject({ text: '4', setCookies: [] })
    const withOld = () => app.getWith(old)
    expect(await withOld()).toMatchObject({ text: '5', setCookies: [] })
    await clock.advance(30_001)
    expect(await withOld()).toMatchObject({ text: '1' })
    expect((await app.get()).text).toBe('6')
  })

  test('a response that does not know the new id sends no cookie, also with rolling', async () => {
    const clock = new ManualClock()
    const store = rotating(clock)
    const app = await serve(
      ({ session }, response) => {
        session.n = 1
        response.end()
      },
      { store, rotateAfter: '10m', rolling: true, cookie: { maxAge: 3_600_000 } },
    )
    await app.get()
    const old = app.cookie()
    await clock.advance(600_000)
    const replies = await Promise.all([app.getWith(old), app.getWith(old), app.getWith(old)])
    expect(replies.flatMap(({ setCookies }) => setCookies)).toHaveLength(1)
  })

  test('waits for a response that can send the cookie', async () => {
    const clock = new ManualClock()
    const app = await serve(
      ({ session, headers, url }, response) => {
        if (url === '/https') headers['x-forwarded-proto'] = 'https'
        session.visits = Number(session.visits ?? 0) + 1
        response.end(`${session.visits}`)
      },
      { store: rotating(clock), rotateAfter: '10m', proxy: true, cookie: { secure: true } },
    )
    await app.get('/https')
    await clock.advance(600_000)
    expect(await app.get('/http')).toMatchObject({ text: '2', setCookies: [] })
    await clock.advance(30_001)
    const rotated = await app.get('/https')
    expect([rotated.text, rotated.setCookies.length]).toEqual(['3', 1])
    expect(await app.get('/https')).toMatchObject({ text: '4', setCookies: [] })
  })

  test('a logout with the old id ends the new one', async () => {
    const clock = new ManualClock()
    const store = rotating(clock)
    const app = await serve(
      async ({ session, url }, response) => {
        if (url === '/out') await done((callback) => session.destroy(callback))
        else session.n = Number(session.n ?? 0) + 1
        response.end(`${session.n}`)
      },
      { store, rotateAfter: '10m' },
    )
    await app.get()
    const old = app.cookie()
    await clock.advance(600_000)
    await app.get()
    await app.getWith(old, '/out')
    expect((await app.get()).text).toBe('1')
  })

  test('requires the option rotation', () => {
    const options = { secret: 'test only', store: createSessions() }
    expect(() => session({ ...options, rotateAfter: '10m' })).toThrow(
      'requires the option rotation',
    )
    const store = rotating(new ManualClock())
    expect(() => session({ ...options, store, rotateAfter: '10s' })).toThrow('at least 1m')
  })
})

describe('the cookie of a session', () => {
  const cookie = { maxAge: '1h' } as const

  /** Changes the session on /change, ends it on /end. Sends the headers with `setHeader`, or with `writeHead`. */
  function start(headers: Record<string, string>, how: 'setHeader' | 'object' | 'list', more = {}) {
    const clock = new ManualClock()
    const cache = new Cache(memory({ clock }), { prefix: 'session:', ttl: '1d', clock })
    const store = new Sessions<Record<string, unknown>>({ cache })
    const handle: Handle = ({ session, url }, response) => {
      if (url === '/change') session.n = Number(session.n ?? 0) + 1
      if (url === '/end') session.destroy(() => {})
      if (how === 'setHeader') {
        for (const [name, value] of Object.entries(headers)) response.setHeader(name, value)
        response.end(`${session.n}`)
      } else
        response.writeHead(200, how === 'list' ? Object.entries(headers).flat() : headers).end()
    }
    return { clock, app: serve(handle, { store, cookie, ...more }) }
  }

  test('is set again when the expiry of the session has moved, by default', async () => {
    const { clock, app } = start({}, 'setHeader')
    const { get } = await app
    await get('/change')
    expect(await get()).toMatchObject({ setCookies: [] })
    await clock.advance(60_000)
    expect((await get()).setCookies).toHaveLength(1)
    expect(await get()).toMatchObject({ setCookies: [] })
  })

  test('is not set again without rolling, nor if it ends with the browser', async () => {
    for (const more of [{ rolling: false }, { cookie: { maxAge: null } }]) {
      const { clock, app } = start({}, 'setHeader', more)
      const { get } = await app
      await get('/change')
      await clock.advance(60_000)
      expect(await get()).toMatchObject({ setCookies: [] })
    }
  })

  describe.each(['setHeader', 'object', 'list'] as const)(
    'beside headers that allow shared caches to store the response: %s',
    (how) => {
      test.each([
        [{ 'Cache-Control': 'public, max-age=60' }, 'private, max-age=60'],
        [{ 'Cache-Control': 'max-age=1, S-MaxAge=60' }, 'private, max-age=1'],
        [{ 'Cache-Control': 'PUBLIC,,s-maxage = 5' }, 'private'],
        [{ 'Cache-Control': 'max-age=60', Age: '5' }, 'private, max-age=60'],
        [{ 'CDN-Cache-Control': 'max-age=60' }, 'private'],
        [{ 'Cloudflare-CDN-Cache-Control': 'max-age=60' }, 'private'],
        [{ 'X-Accel-Expires': '60' }, 'private'],
        [{ Age: '5' }, 'private'],
        [{ 'Surrogate-Control': 'max-age=60', 'Cache-Control': 'no-store' }, 'no-store'],
        [
          { 'Cache-Control': 'public, max-age=60, no-store, must-understand' },
          'private, max-age=60, no-store, must-understand',
        ],
        [{ 'Cache-Control': 'public, x="a, private, b"' }, 'private, x="a, private, b"'],
        [{ 'Cache-Control': 's-maxage=60, private' }, 'private'],
      ])('is not extended, and set only privately: %o', async (headers, privately) => {
        const { clock, app } = start(headers, how, { rolling: true })
        const { get } = await app
        expect(await get('/change')).toMatchObject({ cacheControl: privately })
        await clock.advance(60_000)
        const stored = headers['Cache-Control' as never] ?? null
        for (const path of ['/', '/change']) {
          expect(await get(path)).toMatchObject({ setCookies: [], cacheControl: stored })
        }
        const end = await get('/end')
        expect(end).toMatchObject({ cacheControl: privately })
        expect(end.setCookies).toHaveLength(1)
      })

      test.each([
        [{ 'Cache-Control': 'private, max-age=60' }, 'private, max-age=60'],
        [{ 'Cache-Control': 'no-store' }, 'no-store'],
        [{}, 'private'],
        [{ 'Last-Modified': 'Fri, 01 Jan 2021 00:00:00 GMT' }, 'private'],
        [{ 'Cache-Control': 'max-age=60' }, 'private, max-age=60'],
        [
          { 'Cache-Control': 'max-age=60, no-store, must-understand' },
          'private, max-age=60, no-store, must-understand',
        ],
        [{ Expires: 'Fri, 01 Jan 2100 00:00:00 GMT' }, 'private'],
        [{ 'Cache-Control': 'no-cache, x="public, a"' }, 'private, no-cache, x="public, a"'],
      ])('is extended where only the browser stores: %o', async (headers, expected) => {
        const { app } = start(headers, how, { rolling: true })
        const { get } = await app
        await get('/change')
        const reply = await get()
        expect(reply.setCookies).toHaveLength(1)
        expect(reply).toMatchObject({ cacheControl: expected })
      })
    },
  )

  test.each(['/change', '/', '/end'])(
    'is protected from headers that middleware sets in writeHead, for %s',
    async (path) => {
      const { clock, app } = start({}, 'setHeader', { rolling: true })
      const { get, onRequest } = await app
      await get('/change')
      await clock.advance(60_000)
      onRequest((response) => {
        const { writeHead } = response
        response.writeHead = function late(this: ServerResponse, ...args: unknown[]) {
          response.setHeader('Cache-Control', 'public, max-age=60')
          return Reflect.apply(writeHead, response, args)
        } as typeof writeHead
      })
      const { setCookies, cacheControl } = await get(path)
      expect([setCookies.length, cacheControl]).toEqual(
        path === '/end' ? [1, 'private, max-age=60'] : [0, 'public, max-age=60'],
      )
    },
  )

  test('that is taken back in writeHead leaves those that others have set', async () => {
    const { clock, app } = start({}, 'setHeader', { rolling: true })
    const { get, onRequest } = await app
    await get('/change')
    await clock.advance(60_000)
    onRequest((response) => {
      const { writeHead } = response
      response.setHeader('Set-Cookie', 'before=1')
      response.writeHead = function late(this: ServerResponse, ...args: unknown[]) {
        response.appendHeader('Set-Cookie', 'later=1')
        response.setHeader('Cache-Control', 'public, max-age=60')
        return Reflect.apply(writeHead, response, args)
      } as typeof writeHead
    })
    expect((await get()).setCookies).toEqual(['before=1', 'later=1'])
  })
})
