import { AppProcess, redisDeadlines } from '@stowage/example-shared/testing'
import { type RedisServer, startRedis } from '@stowage/test-servers'
import { afterAll, beforeAll, expect, test } from 'vitest'

const main = new URL('../dist/main.js', import.meta.url)
const apps: AppProcess[] = []
let server: RedisServer

beforeAll(async () => {
  server = await startRedis()
})

afterAll(async () => {
  for (const app of apps) app.signal('SIGKILL')
  await server.stop()
})

async function startApp(redisUrl: string): Promise<{ app: AppProcess; url: string }> {
  // Processes that share sessions share the secret.
  const secret = { SESSION_SECRET: 'only-for-this-test' }
  const variables = { CACHE_DRIVER: 'redis', REDIS_URL: redisUrl, ...redisDeadlines, ...secret }
  const app = new AppProcess(main, variables)
  apps.push(app)
  return { app, url: await app.url() }
}

/** A client that keeps its cookie. */
function createClient() {
  let cookie = ''
  return async (url: string, method = 'GET'): Promise<Response> => {
    const response = await fetch(url, { method, headers: { cookie } })
    cookie = response.headers.getSetCookie()[0]?.split(';')[0] ?? cookie
    return response
  }
}

test('two processes share the session of a visitor, until it signs out', async () => {
  const [one, other] = [await startApp(server.url), await startApp(server.url)]
  const send = createClient()
  await send(`${one.url}/sign-in?user=ada`, 'POST')
  expect(await (await send(one.url)).json()).toMatchObject({ user: 'ada', visits: 1 })
  expect(await (await send(other.url)).json()).toMatchObject({ user: 'ada', visits: 2 })
  expect((await send(`${other.url}/sign-out`, 'POST')).status).toBe(204)
  expect(await (await send(one.url)).json()).toMatchObject({ user: null, visits: 1 })
  expect(await one.app.stop()).toBe(0)
})

test('replies 503 while the sessions are unreachable', async () => {
  const ownServer = await startRedis()
  const { url } = await startApp(ownServer.url)
  const send = createClient()
  await send(`${url}/sign-in?user=ada`, 'POST')
  await ownServer.stop()
  const response = await send(url)
  expect(response.status).toBe(503)
  expect(response.headers.get('retry-after')).toBe('5')
})
