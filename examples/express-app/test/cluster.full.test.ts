import { mkdtempSync, rmSync } from 'node:fs'
import { get } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { AppProcess, Visitor } from '@stowage/example-shared/testing'
import { freePort } from '@stowage/test-servers'
import { afterAll, beforeAll, expect, it } from 'vitest'

const program = new URL('../dist/cluster.js', import.meta.url)
const path = mkdtempSync(join(tmpdir(), 'stowage-shop-'))
const variables = {
  CACHE_DRIVER: 'lmdb',
  SESSION_DRIVER: 'lmdb',
  CACHE_PATH: path,
  WORKERS: '4',
  SESSION_SECRET: 'only-for-this-test',
  PRODUCTS_DELAY: '300',
}
let app: AppProcess
let url: string
let metricsPort: number

beforeAll(async () => {
  metricsPort = await freePort()
  app = new AppProcess(program, { ...variables, METRICS_PORT: String(metricsPort) })
  url = await app.url()
})

afterAll(async () => {
  await app?.stop()
  rmSync(path, { recursive: true, force: true })
})

/** A request on a connection of its own, which the cluster gives to the next worker. */
function request(address: string, cookie = ''): Promise<string> {
  return new Promise((resolve, reject) => {
    const sent = get(address, { agent: false, headers: { cookie } }, (response) => {
      let text = ''
      response.on('data', (chunk) => {
        text += chunk
      })
      response.on('end', () => resolve(text))
    })
    sent.on('error', reject)
  })
}

it.each([100, 300])('ends if the signal arrives %i ms after the start', async (ms) => {
  const starting = new AppProcess(program, { ...variables, CACHE_PATH: `${path}-${ms}` })
  await sleep(ms)
  await starting.stop()
  rmSync(`${path}-${ms}`, { recursive: true, force: true })
})

it('four workers share sessions and cached products', async () => {
  await expect.poll(() => app.stdout.match(/listening on/g)?.length, { timeout: 20_000 }).toBe(4)
  const pages = await Promise.all(Array.from({ length: 8 }, () => request(`${url}/status`)))
  expect(new Set(pages.map((page) => /Process \d+/.exec(page)?.[0])).size).toBe(4)
  const visitor = new Visitor(url)
  await visitor.post('/sign-in', { name: 'Ada' })
  for (let visit = 1; visit <= 12; visit++) {
    const text = await request(`${url}/account`, visitor.cookie)
    expect(text).toContain(`<strong data-visits>${visit}</strong>`)
  }
  const lists = await Promise.all(Array.from({ length: 8 }, () => request(`${url}/`)))
  const outcomes = lists.map((page) => /data-outcome="(\w+)"/.exec(page)?.[1])
  expect(outcomes.filter((outcome) => outcome === 'miss').length).toBeLessThanOrEqual(1)
})

it('the primary process serves the metrics of all workers', async () => {
  const metrics = () => request(`http://127.0.0.1:${metricsPort}/metrics`)
  await expect.poll(metrics).toMatch(/^stowage_sessions_total{cache="session",event="created"} 1$/m)
  const hits = /^stowage_cache_requests_total{cache="session".*result="hit"} (\d+)$/m
  await expect.poll(async () => Number(hits.exec(await metrics())?.[1])).toBeGreaterThanOrEqual(12)
})

it('sessions survive a restart of all workers', async () => {
  const visitor = new Visitor(url)
  await visitor.post('/sign-in', { name: 'Grace' })
  expect(await app.stop()).toBe(0)
  app = new AppProcess(program, variables)
  visitor.moveTo(await app.url())
  expect((await visitor.get('/account')).text).toContain('Grace')
})
