import { execFile, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { Cache, channels, tracing } from '@stowage/core'
import { memory } from '@stowage/memory'
import { metrics } from '@stowage/telemetry/prometheus'
import { freePort } from '@stowage/test-servers'
import { afterAll, expect, test, vi } from 'vitest'

const files = fileURLToPath(new URL('../grafana', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'stowage-board-'))
const stops: (() => unknown)[] = [() => rmSync(folder, { recursive: true, force: true })]
afterAll(async () => {
  for (const stop of stops.reverse()) await stop()
})

const caches = [
  new Cache(memory({ maxEntries: 10 }), { name: 'pages' }),
  new Cache(memory(), { name: 'near', near: {} }),
  new Cache(memory(), { name: 'audited', audit: { sample: 1, perSecond: 1_000 } }),
]
const { handler, render, stop } = metrics({ caches: () => caches })
stops.push(stop)

/** The audited value differs each time that it is loaded. */
let loads = 0

/** Causes something of each kind. What needs several servers is only published. */
async function use(): Promise<void> {
  const [pages, near, audited] = caches as [Cache, Cache, Cache]
  for (let key = 0; key < 20; key++) await pages.remember(`k${key}`, { tags: ['t'] }, () => key)
  await pages.getMany(['k0', 'missing'])
  await pages.delete('k1')
  await pages.invalidateTags('t')
  await pages.lock('l').run(() => {})
  await near.set('k', 1)
  await near.get('k')
  await pages.remember('fails', { backoff: 0 }, () => Promise.reject(new Error())).catch(() => {})
  await audited.remember('k', {}, () => ++loads)
  const source = { cache: 'pages', store: 'redis' }
  channels.wait.publish({ ...source, key: 'k', durationMs: 3, outcome: 'changed' })
  channels.breaker.publish({ store: 'redis', state: 'open' })
  channels.topology.publish({ store: 'redis', change: 'lost', server: 'localhost:6379' })
  channels.replica.publish({
    store: 'redis',
    server: 'localhost:6380',
    isLinked: true,
    lagBytes: 9,
  })
  channels.near.publish({ ...source, entries: 1 })
  const request = { store: 'redis', operation: 'getMany', keyCount: 3, attempt: 1, durationMs: 1 }
  tracing.store.asyncEnd.publish({ ...request, callers: [] })
  const { channel } = await import('node:diagnostics_channel')
  channel('stowage:session:dropped').publish({ cache: 'session', key: 'k', reason: 'ended' })
  channel('stowage:session:created').publish({ cache: 'session', key: 'k' })
  channel('stowage:http:response').publish({ cache: 'pages', key: 'k', outcome: 'hit' })
  channel('stowage:http:error').publish({ cache: 'pages', key: 'k' })
}

test('promtool accepts the metrics and the alert rules', async () => {
  await use()
  execFileSync('promtool', ['check', 'metrics'], { input: render() })
  const { stdout } = await promisify(execFile)('promtool', [
    ...['check', 'rules', join(files, 'alerts.yml')],
  ])
  expect(stdout).toContain('SUCCESS')
})

test('a Prometheus that scrapes the metrics has data for each query of the board', async () => {
  const application = createServer(handler).listen(0, '127.0.0.1')
  await once(application, 'listening')
  stops.push(() => application.close())
  const target = `127.0.0.1:${(application.address() as AddressInfo).port}`
  const configuration = join(folder, 'prometheus.yml')
  const scrape = { job_name: 'app', static_configs: [{ targets: [target] }] }
  writeFileSync(
    configuration,
    JSON.stringify({ global: { scrape_interval: '500ms' }, scrape_configs: [scrape] }),
  )
  const port = await freePort()
  const prometheus = spawn(
    'prometheus',
    [
      `--config.file=${configuration}`,
      `--storage.tsdb.path=${join(folder, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ],
    { stdio: 'ignore' },
  )
  const exited = once(prometheus, 'exit')
  stops.push(async () => {
    prometheus.kill()
    await exited
  })

  const query = async (text: string): Promise<readonly unknown[]> => {
    const url = `http://127.0.0.1:${port}/api/v1/query?query=${encodeURIComponent(text)}`
    const { status, data, error } = (await (await fetch(url)).json()) as {
      status: string
      data?: { result: unknown[] }
      error?: string
    }
    expect(status, `${text}: ${error}`).toBe('success')
    return data?.result ?? []
  }
  const board = JSON.parse(readFileSync(join(files, 'stowage.json'), 'utf8')) as {
    panels: { title: string; targets: { expr: string }[] }[]
  }
  expect(board.panels.length).toBeGreaterThan(10)
  for (const { title, targets } of board.panels) {
    for (const { expr } of targets) {
      await vi.waitFor(
        async () => {
          await use()
          expect(await query(expr), `${title}: ${expr}`).not.toEqual([])
        },
        { timeout: 60_000, interval: 250 },
      )
    }
  }
  await expect.poll(() => query('stowage_near_serving')).not.toEqual([])
  expect(await query('max by (driver) (stowage_breaker_state) == 2')).toHaveLength(1)
})
