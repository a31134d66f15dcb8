import { type AppProcess, eventually, Visitor } from '@stowage/example-shared/testing'
import { type RedisServer, startRedis } from '@stowage/test-servers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { outcomeOf, startShop } from './shop.ts'

describe('the shop with Redis', () => {
  let redis: RedisServer
  let app: AppProcess
  let ada: Visitor
  let log = ''
  const ids: string[] = []

  beforeAll(async () => {
    redis = await startRedis()
    app = start()
    ada = new Visitor(await app.url())
  })

  afterAll(async () => {
    await app?.stop()
    await redis?.stop()
  })

  function start(): AppProcess {
    return startShop({
      CACHE_DRIVER: 'redis',
      SESSION_DRIVER: 'redis',
      REDIS_URL: redis.url,
      SESSION_SECRET: 'only-for-this-test',
      PRODUCTS_DELAY: '5',
    })
  }

  async function signIn(): Promise<void> {
    expect((await ada.post('/sign-in', { name: 'Ada' })).status).toBe(303)
    ids.push(idIn(ada.cookie))
  }

  it('keeps sessions across a restart of the app', async () => {
    await signIn()
    expect((await ada.get('/account')).text).toContain('<strong data-visits>1</strong>')
    expect(await app.stop()).toBe(0)
    log += app.stdout + app.stderr
    app = start()
    ada.moveTo(await app.url())
    expect((await ada.get('/account')).text).toContain('<strong data-visits>2</strong>')
  })

  it('shows the products during an outage, to guests and to signed-in users', async () => {
    await ada.get('/')
    expect(outcomeOf(await ada.get('/'))).toBe('hit')
    await redis.stop()
    const response = await ada.get('/')
    expect(response.status).toBe(200)
    expect(outcomeOf(response)).toBe('unavailable')
    expect(response.text).toContain('>store unavailable<')
    expect(response.text).toContain('You are browsing as a guest.')
    const guest = await new Visitor(await app.url()).get('/')
    expect(guest.status).toBe(200)
    expect(guest.text).not.toContain('You are browsing as a guest.')
  })

  it.each(['/account', '/sign-in', '/products/rope/edit'])(
    'responds to %s with 503 and an explanation during an outage',
    async (path) => {
      const response = await ada.get(path)
      expect(response.status).toBe(503)
      expect(response.headers.get('Retry-After')).toMatch(/^\d+$/)
      expect(response.text).toContain('The session store is unavailable')
      expect(response.text).not.toMatch(/\n {4}at |ECONN|ERR_CACHE/)
    },
  )

  it('rejects signing in and out during an outage, but deletes the cookie', async () => {
    const guest = new Visitor(await app.url())
    expect((await guest.post('/sign-in', { name: 'Grace' })).status).toBe(503)
    expect((await guest.get('/sign-in')).status).toBe(503)
    const { cookie } = ada
    expect((await ada.post('/sign-out')).status).toBe(503)
    expect(cookie).toBeDefined()
    expect(ada.cookie).toBeUndefined()
  })

  it('reports an outage at /health and on the status page', async () => {
    const health = await ada.get('/health')
    expect(health.status).toBe(503)
    expect(JSON.parse(health.text)).toMatchObject({
      status: 'fail',
      checks: {
        session: { driver: 'redis', status: 'fail', code: expect.stringMatching(/^ERR_CACHE_/) },
      },
    })
    const status = await ada.get('/status')
    expect(status.status).toBe(200)
    expect(status.text).toContain('No store is available.')
  })

  it('recovers without a restart', async () => {
    redis = await redis.restart()
    await eventually(async () => ((await ada.get('/health')).status === 200 ? true : undefined))
    await signIn()
    expect((await ada.get('/account')).status).toBe(200)
    await ada.get('/')
    expect(outcomeOf(await ada.get('/'))).toBe('hit')
  })

  it('does not block requests while Redis hangs', async () => {
    redis.kill('SIGSTOP')
    const response = await ada.get('/')
    expect(response.status).toBe(200)
    expect(outcomeOf(response)).toBe('unavailable')
    expect((await ada.get('/account')).status).toBe(503)
    redis.kill('SIGCONT')
    await eventually(async () => ((await ada.get('/account')).status === 200 ? true : undefined))
  })

  it('logs no stack trace, no secret and no session ID', async () => {
    expect(await app.stop()).toBe(0)
    log += app.stdout + app.stderr
    expect(log).toContain('ERR_CACHE_UNAVAILABLE')
    expect(log).not.toMatch(/^ +at /m)
    expect(log).not.toContain('only-for-this-test')
    for (const id of ids) expect(log).not.toContain(id)
  })
})

/** A signed cookie is `s:<id>.<signature>`. */
function idIn(cookie = ''): string {
  const id = /=s:(.+?)\./.exec(decodeURIComponent(cookie))?.[1]
  if (id === undefined) throw new Error('no session cookie')
  return id
}
