import { type RedisServer, startRedis } from '@stowage/test-servers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { AppProcess } from './app-process.ts'
import { eventually } from './eventually.ts'
import { outcomeOf, Visitor } from './visitor.ts'

describe('the app and its Redis', () => {
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
    return new AppProcess({
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

  it('keeps sessions over a restart of the app', async () => {
    await signIn()
    expect((await ada.get('/account')).text).toContain('<strong data-visits>1</strong>')
    expect(await app.stop()).toBe(0)
    log += app.stdout + app.stderr
    app = start()
    ada.moveTo(await app.url())
    expect((await ada.get('/account')).text).toContain('<strong data-visits>2</strong>')
  })

  it('shows the products without the store, to guests and to who was signed in', async () => {
    await ada.get('/')
    expect(outcomeOf(await ada.get('/'))).toBe('hit')
    await redis.stop()
    const answer = await ada.get('/')
    expect(answer.status).toBe(200)
    expect(outcomeOf(answer)).toBe('unavailable')
    expect(answer.text).toContain('store unavailable, computed')
    expect(answer.text).toContain('You are browsing as a guest.')
    const guest = await new Visitor(await app.url()).get('/')
    expect(guest.status).toBe(200)
    expect(guest.text).not.toContain('You are browsing as a guest.')
  })

  it.each(['/account', '/sign-in', '/products/rope/edit'])(
    'answers %s with a page that says what is wrong',
    async (path) => {
      const answer = await ada.get(path)
      expect(answer.status).toBe(503)
      expect(answer.headers.get('Retry-After')).toMatch(/^\d+$/)
      expect(answer.text).toContain('The session store does not answer')
      expect(answer.text).not.toMatch(/\n {4}at |ECONN|ERR_CACHE/)
    },
  )

  it('refuses to sign in or out for the same reason, and keeps the cookie of nobody who wants out', async () => {
    const guest = new Visitor(await app.url())
    expect((await guest.post('/sign-in', { name: 'Grace' })).status).toBe(503)
    expect((await guest.get('/sign-in')).status).toBe(503)
    const { cookie } = ada
    expect((await ada.post('/sign-out')).status).toBe(503)
    expect(cookie).toBeDefined()
    expect(ada.cookie).toBeUndefined()
  })

  it('tells machines and people about it', async () => {
    const health = await ada.get('/healthz')
    expect(health.status).toBe(503)
    expect(JSON.parse(health.text)).toMatchObject({
      status: 'unavailable',
      caches: {
        cache: { driver: 'redis', ok: false, error: expect.stringMatching(/^ERR_CACHE_/) },
      },
    })
    const status = await ada.get('/status')
    expect(status.status).toBe(200)
    expect(status.text).toContain('No store answers.')
  })

  it('recovers without a restart', async () => {
    redis = await redis.restart()
    await eventually(async () => ((await ada.get('/healthz')).status === 200 ? true : undefined))
    await signIn()
    expect((await ada.get('/account')).status).toBe(200)
    await ada.get('/')
    expect(outcomeOf(await ada.get('/'))).toBe('hit')
  })

  it('does not hang with a store that hangs', async () => {
    redis.kill('SIGSTOP')
    const answer = await ada.get('/')
    expect(answer.status).toBe(200)
    expect(outcomeOf(answer)).toBe('unavailable')
    expect((await ada.get('/account')).status).toBe(503)
    redis.kill('SIGCONT')
    await eventually(async () => ((await ada.get('/account')).status === 200 ? true : undefined))
  })

  it('printed no stack trace, no secret and no session id', async () => {
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
