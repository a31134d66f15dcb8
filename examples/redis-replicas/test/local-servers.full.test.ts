import { AppProcess, chromiumOptions, eventually } from '@stowage/example-shared/testing'
import { type Browser, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'

const main = new URL('../dist/main.js', import.meta.url)

let app: AppProcess
let browser: Browser
let page: Page
let url: string
const consoleErrors: string[] = []

beforeAll(async () => {
  app = new AppProcess(main, {})
  ;[url, browser] = await Promise.all([app.url(), chromium.launch(chromiumOptions())])
  page = await browser.newPage()
  page.on('console', (message) => {
    if (message.type() === 'error') consoleErrors.push(message.text())
  })
})

afterAll(async () => {
  await browser?.close()
  await app?.stop()
})

const row = (process: string, consistency: string) =>
  page.locator(`[data-process="${process}"][data-consistency="${consistency}"]`)
const server = (name: string) => page.locator(`li[data-server="${name}"]`)

async function write(text: string): Promise<void> {
  await page.getByLabel('Note to write in process A').fill(text)
  await page.getByRole('button', { name: 'Write and read' }).click()
}

/** Reloads the page until `condition` is true. */
function until(condition: () => Promise<boolean>): Promise<true> {
  return eventually(async () => {
    await page.goto(url)
    return (await condition()) || undefined
  })
}

test('without REDIS_PRIMARY it starts its own servers, and shows their lag', async () => {
  await until(async () => /Replica/.test((await row('A', 'session').textContent()) ?? ''))
  await write('Fresh')
  expect(await row('A', 'session').getAttribute('data-age')).toBe('new')
  expect(await row('B', 'session').getAttribute('data-age')).toBe('new')
  expect(await row('A', 'eventual').getAttribute('data-age')).toBe('old')
  expect(await row('C', 'session').getAttribute('data-age')).toBe('old')
  expect(await server('Replica 1').textContent()).toMatch(/\d+ bytes behind/)
  expect(await server('Primary').textContent()).toContain('up to date')
})

test('changes the replication delay', async () => {
  await page.getByLabel('Replication delay').selectOption('0')
  await page.getByRole('button', { name: 'Set delay' }).click()
  await write('Quick')
  await until(async () => (await page.locator('[data-age="new"]').count()) === 5)
})

test('kills and restarts a replica', async () => {
  await page.getByRole('button', { name: 'Kill Replica 1' }).click()
  expect(await server('Replica 1').getAttribute('data-status')).toBe('down')
  await write('Without it')
  expect(await page.locator('[data-age="failed"]').count()).toBe(0)
  await page.getByRole('button', { name: 'Start Replica 1' }).click()
  await until(async () => (await server('Replica 1').getAttribute('data-status')) === 'up')
})

test.each([360, 768, 1280])('does not scroll horizontally at %d px', async (width) => {
  await page.setViewportSize({ width, height: 800 })
  const tooWide = () => document.documentElement.scrollWidth > innerWidth
  expect(await page.evaluate(tooWide)).toBe(false)
})

test('logs no errors in the browser console, and stops its servers', async () => {
  expect(consoleErrors).toEqual([])
  const [, port = ''] = /REDIS_PRIMARY=127\.0\.0\.1:(\d+)/.exec(app.stdout) ?? []
  expect(await app.stop()).toBe(0)
  await expect(fetch(`http://127.0.0.1:${port}`)).rejects.toThrow('fetch failed')
})
