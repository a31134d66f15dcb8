import { existsSync } from 'node:fs'
import { type Browser, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { AppProcess } from './app-process.ts'
import { eventually } from './eventually.ts'

const candidates = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']
const executablePath = process.env.CHROMIUM_PATH ?? candidates.find((path) => existsSync(path))

let app: AppProcess
let browser: Browser
let page: Page
let url: string
const problems: string[] = []

beforeAll(async () => {
  if (executablePath === undefined) {
    throw new Error('No Chromium found: install it, or set CHROMIUM_PATH to its executable.')
  }
  app = new AppProcess({})
  const launched = chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] })
  ;[url, browser] = await Promise.all([app.url(), launched])
  page = await browser.newPage()
  page.on('console', (message) => {
    if (message.type() === 'error') problems.push(message.text())
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
  await page.getByLabel('A note for process A to write').fill(text)
  await page.getByRole('button', { name: 'Write and read' }).click()
}

/** Reads again until the page shows it. */
function until(shows: () => Promise<boolean>): Promise<true> {
  return eventually(async () => {
    await page.goto(url)
    return (await shows()) || undefined
  })
}

test('without REDIS_PRIMARY it starts servers of its own, whose lag can be seen', async () => {
  await until(async () => /Replica/.test((await row('A', 'session').textContent()) ?? ''))
  await write('Fresh')
  expect(await row('A', 'session').getAttribute('data-age')).toBe('new')
  expect(await row('B', 'session').getAttribute('data-age')).toBe('new')
  expect(await row('A', 'eventual').getAttribute('data-age')).toBe('old')
  expect(await row('C', 'session').getAttribute('data-age')).toBe('old')
  expect(await server('Replica 1').textContent()).toMatch(/lacks \d+ bytes/)
  expect(await server('Primary').textContent()).toContain('has every change')
})

test('the delay can be changed', async () => {
  await page.getByLabel('Delay of replication').selectOption('0')
  await page.getByRole('button', { name: 'Set delay' }).click()
  await write('Quick')
  await until(async () => (await page.locator('[data-age="new"]').count()) === 5)
})

test('a replica can be killed, and comes back', async () => {
  await page.getByRole('button', { name: 'Kill Replica 1' }).click()
  expect(await server('Replica 1').getAttribute('data-status')).toBe('away')
  await write('Without it')
  expect(await page.locator('[data-age="failed"]').count()).toBe(0)
  await page.getByRole('button', { name: 'Start Replica 1' }).click()
  await until(async () => (await server('Replica 1').getAttribute('data-status')) === 'up')
})

test.each([360, 768, 1280])('nothing is cut off at %d px', async (width) => {
  await page.setViewportSize({ width, height: 800 })
  const tooWide = () => document.documentElement.scrollWidth > innerWidth
  expect(await page.evaluate(tooWide)).toBe(false)
})

test('left nothing in the console, and ends its servers', async () => {
  expect(problems).toEqual([])
  const [, port = ''] = /REDIS_PRIMARY=127\.0\.0\.1:(\d+)/.exec(app.stdout) ?? []
  expect(await app.stop()).toBe(0)
  await expect(fetch(`http://127.0.0.1:${port}`)).rejects.toThrow('fetch failed')
})
