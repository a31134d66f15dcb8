// What the features store, whatever the driver is: pairs of a key and a payload.
import { createServer, get } from 'node:http'
import { text } from 'node:stream/consumers'
import { Cache, compressed, encrypted, json, structured } from '@stowage/core'
import { cached } from '@stowage/http-cache'
import { msgpack } from '@stowage/msgpack'
import { Sessions } from '@stowage/sessions'

const decades = 10_000 * 86_400_000
const keys = [`k1:${Buffer.alloc(32, 7).toString('base64')}`]

/** By the name of the namespace. */
export const codecs = {
  json: json(),
  structured: structured(),
  msgpack: msgpack(),
  compressed: compressed(json(), { from: 64 }),
  encrypted: encrypted(json(), { keys }),
  'encrypted-compressed': encrypted(compressed(json(), { from: 64 }), { keys }),
}

export const value = {
  text: 'Grüße'.repeat(20),
  number: 1.5,
  list: [true, null],
  nested: { a: '' },
}
export const session = { user: 'ada', cart: ['lamp'] }
export const sessionIds = {
  plain: 'session-1'.padEnd(32, '.'),
  rotated: 'session-2'.padEnd(32, '.'),
}
export const newId = 'session-3'.padEnd(32, '.')

export function cacheOn(store, clock) {
  return new Cache(store, { prefix: 'app:', ...(clock && { clock }) })
}

export function codecCache(cache, name) {
  return cache.namespace(name, { codec: codecs[name] })
}

export function sessionsOn(cache) {
  return new Sessions({
    cache: cache.namespace('session'),
    idleTimeout: decades,
    index: ({ user }) => user,
    indexSecret: 'a secret for the index',
    rotation: true,
  })
}

/** Requests paths of an application with an HTTP cache. The body tells how many requests have reached the handler. */
export async function request(cache, paths) {
  let handled = 0
  const options = { cache: cache.namespace('http'), ttl: decades, varyBy: ['accept-language'] }
  const handler = cached(options, (request, response) => {
    response.setHeader('Content-Type', 'text/plain')
    if (request.url === '/vary') response.setHeader('Vary', 'Accept-Language')
    const size = request.url === '/large' ? 17_000 : 10
    response.end(`${++handled} ${request.url} ${'x'.repeat(size)}`)
  })
  const server = createServer(handler)
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  try {
    const bodies = []
    for (const path of paths) {
      bodies.push(await bodyOf(server.address().port, path))
    }
    return { bodies, handled }
  } finally {
    server.closeAllConnections()
    server.close()
  }
}

/** `fetch` does not send another host, which is a part of the keys. */
function bodyOf(port, path) {
  const headers = { host: 'example.com', 'accept-language': 'en' }
  return new Promise((resolve, reject) => {
    get({ host: '127.0.0.1', port, path, headers, agent: false }, (response) => {
      text(response).then(resolve, reject)
    }).on('error', reject)
  })
}

/** Uses each feature that stores something. */
export async function useFeatures(cache) {
  for (const name of Object.keys(codecs)) {
    const values = codecCache(cache, name)
    await values.set('value', value)
    await values.set('bytes', Buffer.from([0, 1, 2, 255]))
    await values.set('tagged', 'tagged', { tags: ['news'], ttl: decades })
  }
  await cache.set('null', null)
  await cache.set('date', new Date(0))
  await cache.increment('count', 41)
  await cache.set('old', 'old', { tags: ['gone', 'stale'] })
  await cache.invalidateTags(['gone'])
  await cache.remember('swr', { ttl: decades, staleWhileRevalidate: '1h' }, () => 'remembered')
  await cache.lock('import', { ttl: '1h' }).acquire()
  await cache.rateLimit('logins', { limit: 2, window: '1h' }).consume('ada')
  await begun((work) => cache.concurrency('exports', { limit: 1, ttl: '1h' }).run(work))
  await begun((load) => cache.remember('loading', { ttl: '1h' }, load))
  await cache
    .remember('failed', { ttl: '1h' }, () => Promise.reject(new Error('failed')))
    .catch(() => {})
  const sessions = sessionsOn(cache)
  await sessions.create(sessionIds.plain, session)
  await sessions.create(sessionIds.rotated, { user: 'bob' })
  await sessions.rotate(sessionIds.rotated, newId, await sessions.read(sessionIds.rotated))
  await request(cache, ['/small', '/large', '/vary'])
}

/** Resolves when the work has begun, which never ends. */
function begun(start) {
  return new Promise((resolve) => {
    start(() => {
      resolve()
      return new Promise(() => {})
    }).catch(() => {})
  })
}

/** What an application reads of all that {@link useFeatures} has stored. */
export async function readFeatures(cache) {
  const result = {}
  for (const name of Object.keys(codecs)) {
    const values = codecCache(cache, name)
    result[name] = await values.getMany(['value', 'bytes', 'tagged'])
  }
  const sessions = sessionsOn(cache)
  const { bodies, handled } = await request(cache, ['/small', '/large', '/vary'])
  return {
    ...result,
    plain: await cache.getMany(['null', 'date', 'count', 'swr']),
    misses: await cache.getMany(['old', 'loading']),
    isLocked: await cache.lock('import').isLocked(),
    sessions: [await sessions.read(sessionIds.plain), await sessions.read(newId)],
    listed: (await sessions.of('ada')).map((each) => each.session),
    bodies: bodies.map((body) => body.slice(0, 10)),
    handled,
  }
}

const ofCodec = [value, Buffer.from([0, 1, 2, 255]), 'tagged']
export const expectedFeatures = {
  ...Object.fromEntries(Object.keys(codecs).map((name) => [name, ofCodec])),
  plain: [null, new Date(0).toISOString(), 41, 'remembered'],
  misses: [undefined, undefined],
  isLocked: true,
  sessions: [session, { user: 'bob' }],
  listed: [session],
  bodies: ['1 /small x', '2 /large x', '3 /vary xx'],
  // All responses come from the cache.
  handled: 0,
}
