import { AppProcess, eventually, Visitor } from '@stowage/example-shared/testing'
import { type RedisServer, startRedis } from '@stowage/test-servers'
import { afterAll, beforeAll, expect, test } from 'vitest'

const main = new URL('../dist/main.js', import.meta.url)
const apps: AppProcess[] = []
let server: RedisServer
let visitors: Visitor[]
let urls: string[]

beforeAll(async () => {
  server = await startRedis()
  const variables = { CACHE_DRIVER: 'redis', REDIS_URL: server.url, REPORT_MS: '4000' }
  for (let count = 0; count < 2; count++) apps.push(new AppProcess(main, variables))
  urls = await Promise.all(apps.map((app) => app.url()))
  visitors = urls.map((url) => new Visitor(url))
})

afterAll(async () => {
  for (const app of apps) app.signal('SIGKILL')
  await server?.stop()
})

test('two processes generate one report at a time', async () => {
  const replies = await Promise.all([...visitors, ...visitors].map((each) => each.post('/report')))
  expect(replies.map(({ status }) => status)).toEqual([303, 303, 303, 303])
  const during = await visitors[0]?.get('/report')
  expect(during?.text).toContain('A process is generating the report.')
  const fence = await eventually(async () => {
    const { text = '' } = (await visitors[1]?.get('/report')) ?? {}
    return text.includes('No process') ? /number<\/dt><dd>(\d+)/.exec(text)?.[1] : undefined
  })
  await visitors[1]?.post('/report')
  const next = await eventually(async () => {
    const { text = '' } = (await visitors[0]?.get('/report')) ?? {}
    const found = /number<\/dt><dd>(\d+)/.exec(text)?.[1]
    return text.includes('No process') && found !== fence ? found : undefined
  })
  expect(Number(next)).toBeGreaterThan(Number(fence))
})

test('a login is limited to five attempts by both processes together', async () => {
  const attempt = (index: number, password: string) =>
    (visitors[index % 2] as Visitor).post('/login', { user: 'ada', password })
  for (let index = 0; index < 5; index++) {
    const { status, text } = await attempt(index, 'wrong')
    expect(status).toBe(401)
    expect(text).toContain(`Attempts left: ${4 - index}.`)
  }
  for (const password of ['wrong', 'stowage']) {
    const { status, headers } = await attempt(1, password)
    expect(status).toBe(429)
    expect(Number(headers.get('Retry-After'))).toBeGreaterThan(0)
  }
  const other = await visitors[0]?.post('/login', { user: 'grace', password: 'stowage' })
  expect(other?.text).toContain('Welcome.')
})

test('denies a login if the store cannot be reached, and exits with 0 on SIGTERM', async () => {
  await server.stop()
  const denied = await visitors[0]?.post('/login', { user: 'alan', password: 'stowage' })
  expect(denied?.status).toBe(429)
  const exits = await Promise.all(apps.map((app) => app.stop()))
  expect(exits).toEqual(apps.map(() => 0))
  const output = apps.map(({ stderr }) => stderr).join('')
  expect(output.replace(/^\(Use `node --trace-warnings.*\n/m, '')).toMatch(
    /^\(node:\d+\) \[STOWAGE_STORE_OUTAGE\].*\n$/,
  )
})
