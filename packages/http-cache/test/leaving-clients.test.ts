import type { ServerResponse } from 'node:http'
import { connect, type Socket } from 'node:net'
import { pipeline, Readable } from 'node:stream'
import { cached, httpCacheChannels } from '@stowage/http-cache'
import express, { type Request, type RequestHandler, type Response } from 'express'
import { describe, expect, onTestFinished, test } from 'vitest'
import { gate, serve, setupCache } from './fixture.ts'
import { counting, forms } from './forms.ts'

/** Connects a client that sends requests, and reads nothing. */
function stalled(port: number, ...paths: string[]): Socket {
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => {})
  socket.pause()
  for (const path of paths) socket.write(`GET ${path} HTTP/1.1\r\nHost: h.test\r\n\r\n`)
  return socket
}

interface Rendering {
  readonly request: Request
  readonly response: Response
  /** Resolves once the client has left, as far as the server knows. */
  readonly left: Promise<unknown>
}

/** Handlers that notice that their client has left, and end with what they have. */
const noticing: Record<string, (rendering: Rendering) => Promise<unknown>> = {
  'response.closed': async ({ response, left }) => {
    await left
    response.send(response.closed ? 'row 1' : 'rows 1 to 10')
  },
  'response.destroyed, after a part was written': async ({ response, left }) => {
    response.write('rows 1')
    await left
    response.end(response.destroyed ? '' : ' to 10')
  },
  'the event close of the response': async ({ response, left }) => {
    const rows = await Promise.race([
      new Promise((resolve) => response.on('close', () => resolve('no rows'))),
      left.then(() => new Promise((resolve) => setImmediate(resolve, 'rows 1 to 10'))),
    ])
    response.send(rows)
  },
  // Before the event close.
  'the event end of the socket': async ({ request, response, left }) => {
    const rows = await Promise.race([
      new Promise((resolve) => request.socket.on('end', () => resolve('no rows'))),
      left.then(() => 'rows 1 to 10'),
    ])
    response.send(rows)
  },
  'request.aborted': async ({ request, response, left }) => {
    await left
    response.send(request.aborted ? '' : 'rows 1 to 10')
  },
  'request.destroyed': async ({ request, response, left }) => {
    await left
    response.send(request.destroyed ? '' : 'rows 1 to 10')
  },
  'the event aborted of the request': async ({ request, response, left }) => {
    let rows = 'rows 1 to 10'
    request.on('aborted', () => {
      rows = ''
    })
    request.on('error', () => {})
    await left
    response.send(rows)
  },
  'the socket': async ({ request, response, left }) => {
    await left
    response.send(request.socket.destroyed ? '' : 'rows 1 to 10')
  },
  'the socket of the response': async ({ response, left }) => {
    await left
    response.send(response.socket?.destroyed === false ? 'rows 1 to 10' : '')
  },
}

describe.each(Object.entries(forms))('%s', (_, form) => {
  test.each(Object.keys(noticing))(
    'does not store what a handler writes that notices by %s that its client has left',
    async (name) => {
      const { cache } = setupCache()
      const app = express()
      const called = gate()
      const gone = gate()
      let calls = 0
      const finished = gate<unknown>()
      app.use((request, _response, next) => {
        request.socket.once('close', () => setImmediate(gone.open))
        next()
      })
      const handler: RequestHandler = async (request, response) => {
        if (++calls > 1) return void response.send('rows 1 to 10')
        called.open()
        finished.open(await noticing[name]?.({ request, response, left: gone.opened }))
      }
      app.get('/p', ...form({ cache, waitTimeout: '1h' }, handler))
      const { get, port } = await serve(app)
      const client = stalled(port, '/p')
      await called.opened
      const waiting = get('/p', { host: 'h.test' })
      client.destroy()
      await finished.opened
      expect((await waiting).body).toBe('rows 1 to 10')
      expect((await get('/p', { host: 'h.test' })).body).toBe('rows 1 to 10')
    },
  )

  test('a client that reads nothing does not delay others', async () => {
    const { cache } = setupCache()
    const app = express()
    // More than the system accepts for a connection.
    const size = 1_000_000
    const chunks = 16
    const leading = gate()
    let calls = 0
    const handler: RequestHandler = (_request, response) => {
      calls++
      Readable.from(Array.from({ length: chunks }, () => Buffer.alloc(size))).pipe(response)
      leading.open()
    }
    const options = { cache, waitTimeout: '1h', maxBodyBytes: 2 * chunks * size } as const
    app.get('/page', ...form(options, handler))
    const { get, port } = await serve(app)
    const client = stalled(port, '/page')
    await leading.opened
    // Without the stalled client, all of these would be one rendering as well.
    const replies = await Promise.all([1, 2, 3].map(() => get('/page', { host: 'h.test' })))
    expect(replies.map(({ bytes }) => bytes.byteLength)).toEqual(Array(3).fill(chunks * size))
    expect((await get('/page', { host: 'h.test' })).cache).toBe('hit; ttl=60')
    expect(calls).toBe(1)
    client.destroy()
  })
})

test('a request delays no others that waits for an earlier response of its connection', async () => {
  const { app, next } = counting(express, { waitTimeout: '1h' })
  const called = gate()
  app.get('/endless', (_request, response) => {
    response.set('Cache-Control', 'private').write('x')
    called.open()
  })
  app.get('/page', (_request, response) => void response.send(`page ${next()}`))
  const { get, port } = await serve(app)
  const client = stalled(port, '/endless', '/page')
  await called.opened
  const replies = [get('/page', { host: 'h.test' }), get('/page', { host: 'h.test' })]
  expect((await Promise.all(replies)).map(({ body }) => body)).toEqual(['page 1', 'page 1'])
  client.destroy()
})

test('a client that leaves while a stale response is refreshed does not keep others from storing it', async () => {
  const { app, clock, next } = counting(express, { waitTimeout: '1h' })
  const called = gate()
  const left = gate()
  const errors: unknown[] = []
  const onError = (event: unknown) => errors.push(event)
  httpCacheChannels.error.subscribe(onError)
  onTestFinished(() => void httpCacheChannels.error.unsubscribe(onError))
  app.get('/p', (_request, response) => {
    const body = `call ${next()}`
    response.set('ETag', JSON.stringify(body))
    if (body !== 'call 2') return void response.send(body)
    response.on('close', left.open)
    called.open()
  })
  const { get, port } = await serve(app)
  await get('/p', { host: 'h.test' })
  clock.advance(61_000)
  const client = stalled(port, '/p')
  await called.opened
  client.destroy()
  await left.opened
  const { body, cache } = await get('/p', { host: 'h.test' })
  expect([body, cache]).toEqual(['call 3', 'fwd=stale; stored'])
  expect((await get('/p', { host: 'h.test' })).cache).toBe('hit; ttl=60')
  expect(errors).toEqual([])
})

test('a request that has given up leaves the handler to one that waits for the lease of another process with it', async () => {
  const { backend, open } = setupCache()
  Object.defineProperty(backend, 'processLocal', { value: false })
  const [other, own] = [open(), open()]
  const errors: unknown[] = []
  const onError = (event: unknown) => errors.push(event)
  httpCacheChannels.error.subscribe(onError)
  onTestFinished(() => void httpCacheChannels.error.unsubscribe(onError))
  const app = express()
  const called = gate()
  const joined = gate()
  const handle =
    (name: string): RequestHandler =>
    (_request, response) => {
      if (name === 'other') called.open()
      else response.send(name)
    }
  const routes = {
    other: forms.middleware?.({ cache: other }, handle('other')),
    impatient: forms.middleware?.({ cache: own, waitTimeout: '50ms' }, handle('impatient')),
    patient: forms.middleware?.({ cache: own, waitTimeout: '1h' }, handle('patient')),
  }
  for (const [name, [cache, handler]] of Object.entries(routes) as [string, RequestHandler[]][]) {
    const isChosen = ({ headers }: Request) => headers['x-route'] === name
    app.use((request, response, next) => {
      if (!isChosen(request)) return void next()
      if (name === 'patient') setImmediate(joined.open)
      cache?.(request, response, () => handler?.(request, response, next))
    })
  }
  const { get, port } = await serve(app)
  const client = connect(port, '127.0.0.1')
  client.write('GET /p HTTP/1.1\r\nHost: h.test\r\nX-Route: other\r\n\r\n')
  await called.opened
  const impatient = await get('/p', { host: 'h.test', 'x-route': 'impatient' })
  expect(impatient.body).toBe('impatient')
  const waiting = get('/p', { host: 'h.test', 'x-route': 'patient' })
  await joined.opened
  client.destroy()
  expect((await waiting).body).toBe('patient')
  expect(errors).toEqual([])
})

test('while a body is kept, write neither waits for the client nor says that it should', async () => {
  const { app } = counting(express, { maxBodyBytes: 1_000_000 })
  const results: unknown[] = []
  const done = gate()
  app.get('/p', async (_request, response) => {
    for (let index = 0; index < 9; index++) {
      const written = await new Promise((resolve) => {
        const result = response.write('x'.repeat(100_000), () => resolve(result))
      })
      results.push([written, response.writableNeedDrain, response.writableLength])
    }
    response.end()
    done.open()
  })
  const { get, port } = await serve(app)
  const client = stalled(port, '/p')
  await done.opened
  expect(results).toEqual(Array.from({ length: 9 }, () => [true, false, 0]))
  expect((await get('/p', { host: 'h.test' })).body).toHaveLength(900_000)
  client.destroy()
})

test('a body that is not stored follows the speed of its client', async () => {
  const { app } = counting(express, { maxBodyBytes: 10_000 })
  const waiting = gate<boolean>()
  const refused = gate<boolean>()
  const write = (response: ServerResponse, { open }: ReturnType<typeof gate<boolean>>) => {
    let written = 0
    while (response.write('x'.repeat(64_000))) {
      written += 64_000
      if (written > 1e9) return open(false)
    }
    open(response.writableNeedDrain)
  }
  app.get('/large', (_request, response) => write(response, waiting))
  app.get('/private', (_request, response) => {
    response.set('Cache-Control', 'private')
    write(response, refused)
  })
  const { port } = await serve(app)
  const clients = [stalled(port, '/large'), stalled(port, '/private')]
  expect([await waiting.opened, await refused.opened]).toEqual([true, true])
  for (const client of clients) client.destroy()
})

describe('cached', () => {
  const options = { ttl: '1m', maxBodyBytes: 10_000 } as const

  test('streams a large body to its client, at the speed of the client', async () => {
    const { cache } = setupCache()
    let produced = 0
    const stopped: string[] = []
    const handler = cached({ cache, ...options }, (request, response) => {
      response.on('close', () => stopped.push(request.url ?? ''))
      let left = 300
      const body = new Readable({
        read() {
          produced += 1_000
          this.push(left-- > 0 ? 'x'.repeat(1_000) : null)
        },
      })
      body.pipe(response)
    })
    const { get, port } = await serve((request, response) => handler(request, response))
    const reply = await get('/p')
    expect([reply.body.length, reply.cache]).toEqual([300_000, 'fwd=uri-miss; detail=too-large'])
    // The rendering apart from the client ended at the limit.
    expect(produced).toBeLessThan(400_000)
    await expect.poll(() => stopped).toHaveLength(2)
    expect((await get('/p')).cache).not.toContain('hit')
    const client = stalled(port, '/p')
    client.destroy()
    await expect.poll(() => stopped.length).toBeGreaterThanOrEqual(3)
  })

  test('sends a stream of events as it is written', async () => {
    const { cache } = setupCache()
    const closed: unknown[] = []
    const handler = cached({ cache, ...options }, (_request, response) => {
      response.setHeader('Content-Type', 'text/event-stream')
      response.write('data: 1\n\n')
      response.on('close', () => closed.push('closed'))
    })
    const { url } = await serve((request, response) => handler(request, response))
    const controller = new AbortController()
    const reply = await fetch(url, { signal: controller.signal })
    const { value } = (await reply.body?.getReader().read()) ?? {}
    expect(Buffer.from(value ?? []).toString()).toBe('data: 1\n\n')
    expect(reply.headers.get('cache-status')).toBe('Stowage; fwd=uri-miss; detail=event-stream')
    expect(closed).toHaveLength(1)
    controller.abort()
    await expect.poll(() => closed.length).toBe(2)
  })

  test('stops a rendering after its last client has left, and stores nothing of it', async () => {
    const { cache } = setupCache()
    const called = gate()
    const closed = gate()
    let calls = 0
    const handler = cached({ cache, ...options }, (_request, response) => {
      if (++calls > 1) return void response.end('complete')
      response.write('part')
      response.on('close', () => {
        response.end()
        closed.open()
      })
      called.open()
    })
    const { get, port } = await serve((request, response) => handler(request, response))
    const clients = [stalled(port, '/p'), stalled(port, '/p')]
    await called.opened
    for (const client of clients) client.destroy()
    await closed.opened
    expect(await get('/p', { host: 'h.test' })).toMatchObject({ body: 'complete' })
    expect(calls).toBe(2)
  })

  test.each(['data', 'resume'])('a request has an end, which %s leads to', async (how) => {
    const { cache } = setupCache()
    const handler = cached({ cache }, (request, response) => {
      request.on('end', () => response.end('ended'))
      if (how === 'data') request.on('data', () => {})
      else request.resume()
    })
    const { get } = await serve((request, response) => handler(request, response))
    expect((await get('/p')).body).toBe('ended')
  })

  test('a body whose source fails ends with an error of this response alone', async () => {
    const { cache } = setupCache()
    const errors: unknown[] = []
    const onUncaught = (error: unknown) => errors.push(error)
    process.on('uncaughtExceptionMonitor', onUncaught)
    onTestFinished(() => void process.off('uncaughtExceptionMonitor', onUncaught))
    const closed = gate()
    let calls = 0
    const handler = cached({ cache }, (_request, response) => {
      if (++calls > 1) return void response.end('complete')
      response.socket?.on('close', () => setImmediate(closed.open))
      const source = new Readable({ read() {} })
      source.push('part')
      pipeline(source, response, () => {})
      setImmediate(() => source.destroy(new Error('The disk has failed.')))
    })
    const { get } = await serve((request, response) => handler(request, response))
    expect((await get('/p')).status).toBe(500)
    await closed.opened
    expect((await get('/p')).body).toBe('complete')
    expect(errors).toEqual([])
  })

  test('the response of a handler is closed after it was sent', async () => {
    const { cache } = setupCache()
    const events: string[] = []
    const handler = cached({ cache }, (_request, response) => {
      for (const event of ['finish', 'close']) response.on(event, () => events.push(event))
      response.end('x')
    })
    const { get } = await serve((request, response) => handler(request, response))
    await get('/p')
    await expect.poll(() => events).toEqual(['finish', 'close'])
  })
})

test.each(Object.entries(forms))(
  'a client that reads nothing has one handler running for it, and receives all responses: %s',
  async (_, form) => {
    const { cache } = setupCache()
    const app = express()
    const running = { now: 0, most: 0 }
    const size = 1_000_000
    app.use('/stalled', (_request, response, next) => {
      response.on('finish', () => void running.now--)
      next()
    })
    const handler: RequestHandler = ({ path }, response) => {
      if (path !== '/other') running.most = Math.max(running.most, ++running.now)
      response.end(Buffer.alloc(size))
    }
    const route = form({ cache, encodings: false }, handler)
    app.get('/stalled/:id', ...route).get('/other', ...route)
    const { port, get } = await serve(app)
    const paths = Array.from({ length: 40 }, (_each, index) => `/stalled/${index}`)
    const client = stalled(port, ...paths)
    await expect.poll(() => running.most).toBe(1)
    expect((await get('/other')).cache).toContain('stored')
    let received = 0
    client.on('data', ({ byteLength }) => {
      received += byteLength
    })
    client.resume()
    await expect.poll(() => received, { timeout: 20_000 }).toBeGreaterThan(40 * size)
    expect(running.most).toBe(1)
    client.destroy()
  },
)
