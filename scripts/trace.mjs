// Prints the way of a call through the packages: npm run trace -- get [--driver redis]
import { createServer } from 'node:http'
import { register } from 'node:module'
import { parseArgs } from 'node:util'
import { main, UserError } from './lib/cli.mjs'
import { prepare } from './lib/prepare.mjs'
import { firstCalls, record } from './lib/trace/recorder.mjs'

const usage = `Usage: npm run trace -- <call> [--driver redis | memcached | memory]

Prints each function that the call runs, once, indented below the one that has called it first.

Calls:
  get        a hit
  remember   a miss: the loader is called
  clear
  session    a request that reads its session
  http       a request that the response cache answers
`

const calls = {
  get: ({ store }) => withCache(store, (cache) => cache.get('known')),
  remember: ({ store }) =>
    withCache(store, (cache) => cache.remember('unknown', { ttl: '1m' }, () => 'loaded')),
  clear: ({ store }) => withCache(store, (cache) => cache.clear()),
  session: withSession,
  http: withResponseCache,
}

await main(async () => {
  const { values, positionals } = parseArgs({
    options: { driver: { type: 'string', default: 'redis' } },
    allowPositionals: true,
  })
  const call = calls[positionals[0]]
  if (call === undefined) throw new UserError(usage)
  await prepare()
  register('./lib/trace/hooks.mjs', import.meta.url)
  const backend = await openBackend(values.driver)
  try {
    print(`${positionals[0]} on ${values.driver}`, firstCalls(await call(backend)))
  } finally {
    await backend.stop()
  }
})

function print(title, functions) {
  const files = new Set(functions.map(({ file }) => file))
  console.log(`${title}: ${functions.length} functions in ${files.size} files\n`)
  const width = Math.max(...functions.map(({ name, depth }) => 2 * depth + name.length)) + 2
  for (const { name, file, depth } of functions) {
    console.log(`${`${'  '.repeat(depth)}${name}`.padEnd(width)}${file.replace('packages/', '')}`)
  }
}

async function openBackend(driver) {
  const { startMemcached, startRedis } = await import('@stowage/test-servers')
  const create = async (options) => (await import(`@stowage/${driver}`))[driver](options)
  const backends = {
    redis: async () => withServer(await startRedis(), ({ url }) => create({ url })),
    memcached: async () =>
      withServer(await startMemcached(), ({ port }) => create({ servers: [`127.0.0.1:${port}`] })),
    memory: async () => withServer(undefined, () => create()),
  }
  if (!Object.hasOwn(backends, driver)) throw new UserError(usage)
  return backends[driver]()
}

async function withServer(server, open) {
  try {
    const store = await open(server)
    const stop = async () => {
      await store.close()
      await server?.stop()
    }
    return { store, stop }
  } catch (error) {
    await server?.stop()
    throw error
  }
}

/** The call once before, so that what is done once is not recorded, on another key. */
async function withCache(store, call) {
  const { Cache } = await import('@stowage/core')
  const cache = new Cache(store, { prefix: 'app:', ttl: '1h' })
  await cache.set('known', { name: 'Ada' })
  await call(cache)
  await cache.delete('unknown')
  return record(() => call(cache))
}

async function withSession({ store }) {
  const { Cache } = await import('@stowage/core')
  const { Sessions, session } = await import('@stowage/sessions')
  const sessions = new Sessions({ cache: new Cache(store, { prefix: 'session:', ttl: '1h' }) })
  const handle = session({ secret: 'of this trace only, not of an application', store: sessions })
  return trackRequest(
    (request, response) => {
      handle(request, response, () => {
        if (request.url === '/login') request.session.user = 'ada'
        response.end(String(request.session.user))
      })
    },
    ['/login', '/', '/'],
  )
}

async function withResponseCache({ store }) {
  const { Cache } = await import('@stowage/core')
  const { responseCache } = await import('@stowage/http-cache')
  const cache = new Cache(store, { prefix: 'http:', ttl: '1h' })
  const handle = responseCache({ cache })
  return trackRequest(
    (request, response) => {
      handle(request, response, () => {
        response.setHeader('Cache-Control', 'max-age=60').end('page')
      })
    },
    ['/', '/', '/'],
  )
}

/** Requests the paths, one after the other, and records the last request. */
async function trackRequest(handle, paths) {
  let recorded
  const server = createServer((request, response) => {
    recorded = record(async () => {
      handle(request, response)
      await new Promise((resolve) => response.once('close', resolve))
    })
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  try {
    let cookie = ''
    for (const path of paths) {
      const url = `http://127.0.0.1:${server.address().port}${path}`
      const response = await fetch(url, { headers: cookie === '' ? {} : { cookie } })
      cookie = response.headers.getSetCookie()[0]?.split(';')[0] ?? cookie
      await response.text()
    }
    return await recorded
  } finally {
    server.close()
    server.closeAllConnections()
  }
}
