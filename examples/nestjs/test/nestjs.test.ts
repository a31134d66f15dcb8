import { AppProcess, redisDeadlines } from '@stowage/example-shared/testing'
import { type RedisServer, startRedis } from '@stowage/test-servers'
import { afterAll, beforeAll, expect, test } from 'vitest'

let server: RedisServer
let apps: AppProcess[]
let urls: string[]

beforeAll(async () => {
  server = await startRedis()
  const variables = { CACHE_DRIVER: 'redis', REDIS_URL: server.url, ...redisDeadlines }
  const main = new URL('../dist/main.js', import.meta.url)
  apps = [new AppProcess(main, variables), new AppProcess(main, variables)]
  urls = await Promise.all(apps.map((app) => app.url()))
})

afterAll(async () => {
  for (const app of apps) app.signal('SIGKILL')
  await server.stop()
})

async function product(url: string | undefined, init?: RequestInit) {
  const response = await fetch(`${url}/products/1`, init)
  return response.json() as Promise<{ name: string; loadedAt: string }>
}

test('the requests of two processes share one load, and a change is seen by both', async () => {
  const found = await Promise.all([...urls, ...urls].map((url) => product(url)))
  expect(new Set(found.map(({ loadedAt }) => loadedAt)).size).toBe(1)

  const headers = { 'Content-Type': 'application/json' }
  const renamed = { method: 'PUT', headers, body: JSON.stringify({ name: 'Chair' }) }
  expect((await product(urls[0], renamed)).name).toBe('Chair')
  expect((await product(urls[0])).name).toBe('Chair')
})

test('a missing product is a 404', async () => {
  expect((await fetch(`${urls[0]}/products/3`)).status).toBe(404)
})

test('the application closes its caches when it ends', async () => {
  expect(await apps[1]?.stop()).not.toBe(1)
  expect(apps[1]?.stderr).toBe('')
})
