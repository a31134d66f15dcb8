import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type AppProcess, chromiumOptions, type Variables } from '@stowage/example-shared/testing'
import {
  type MemcachedServer,
  type RedisServer,
  startMemcached,
  startRedis,
} from '@stowage/test-servers'
import { type BrowserContext, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startShop } from './shop.ts'

describe.each(['memory', 'redis', 'memcached'])('in a browser, with %s', (driver) => {
  let server: RedisServer | MemcachedServer | undefined
  let app: AppProcess
  let folder: string
  let context: BrowserContext
  let page: Page
  let url: string
  const consoleErrors: string[] = []

  beforeAll(async () => {
    if (driver === 'redis') server = await startRedis()
    if (driver === 'memcached') server = await startMemcached()
    app = startShop(variablesFor(driver, server))
    url = await app.url()
    folder = await mkdtemp(join(tmpdir(), 'stowage-chromium-'))
    context = await chromium.launchPersistentContext(folder, chromiumOptions())
    page = await context.newPage()
    page.on('console', (message) => {
      if (message.type() === 'error') consoleErrors.push(message.text())
    })
  })

  afterAll(async () => {
    await context?.close()
    await app?.stop()
    await server?.stop()
    if (folder !== undefined) await rm(folder, { recursive: true, force: true })
  })

  it('shows a miss, then a hit', async () => {
    await page.goto(url)
    expect(await page.title()).toBe('Products · Stowage Provisions')
    expect(await outcome(page)).toBe('miss')
    await page.getByRole('button', { name: 'Reload the list' }).click()
    expect(await outcome(page)).toBe('hit')
    expect(await page.locator('.facts').textContent()).toContain(driver)
  })

  it('redirects guests who edit a product to the sign-in page and back', async () => {
    await page.goto(`${url}/products/rope/edit`)
    expect(await page.getByRole('heading', { level: 1 }).textContent()).toBe('Sign in')
    await page.getByLabel('Your name').fill('<b>Ada</b>')
    await page.getByRole('button', { name: 'Sign in' }).click()
    expect(new URL(page.url()).pathname).toBe('/products/rope/edit')
  })

  it('counts visits in the session', async () => {
    await page.getByRole('link', { name: 'Account' }).click()
    expect(await page.getByRole('heading', { level: 1 }).textContent()).toContain('<b>Ada</b>')
    expect(await page.locator('[data-visits]').textContent()).toBe('1')
    await page.getByRole('button', { name: 'Visit again' }).click()
    expect(await page.locator('[data-visits]').textContent()).toBe('2')
  })

  it('shows validation errors', async () => {
    await page.goto(`${url}/products/rope/edit`)
    await page.getByLabel('Name').fill('')
    await page.getByLabel('Price in euros').fill('lots')
    await page.getByRole('button', { name: 'Save changes' }).click()
    expect(await page.getByRole('alert').textContent()).toContain('Enter a name.')
    expect(await page.getByLabel('Price in euros').getAttribute('aria-invalid')).toBe('true')
    expect(await page.getByLabel('Price in euros').inputValue()).toBe('lots')
    // The browser logs every 4xx response; this one is expected.
    expect(consoleErrors.splice(0)).toEqual([expect.stringContaining('422')])
  })

  it('shows a change immediately, with a miss', async () => {
    await page.getByLabel('Name').fill('Hemp rope & twine')
    await page.getByLabel('Price in euros').fill('21,5')
    await page.getByRole('button', { name: 'Save changes' }).click()
    expect(await page.getByRole('status').textContent()).toMatch(/^Hemp rope & twine is\s+saved\./)
    expect(await outcome(page)).toBe('miss')
    expect(await page.locator('.product').last().textContent()).toContain('€21.50')
    await page.getByRole('button', { name: 'Reload the list' }).click()
    expect(await outcome(page)).toBe('hit')
    expect(await page.locator('.product').last().textContent()).toContain('Hemp rope & twine')
  })

  it('shows drivers, health and the hit ratio', async () => {
    await page.getByRole('link', { name: 'Status' }).click()
    const cache = page.locator('[data-role="cache"]')
    expect(await cache.locator('[data-driver]').textContent()).toBe(driver)
    expect(await cache.textContent()).toContain('responds in')
    // Two misses with a load, and two hits so far.
    expect(await cache.locator('[data-ratio]').textContent()).toBe('50%')
    expect(await cache.locator('[data-count="loads"]').textContent()).toBe('2')
    expect(await page.locator('[data-role="session"] [data-driver]').textContent()).toBe(driver)
  })

  it('fits the links of the header into one row of a phone', async () => {
    const wide = page.viewportSize() ?? { width: 1280, height: 720 }
    await page.setViewportSize({ width: 360, height: 740 })
    const links = page.locator('.nav .nav-link')
    // The fonts of other systems are wider.
    await links.evaluateAll((elements: HTMLElement[]) => {
      for (const { style } of elements) style.letterSpacing = '0.12em'
    })
    const boxes = await links.evaluateAll((elements) =>
      elements.map((element) => {
        const text = document.createRange()
        text.selectNodeContents(element)
        const { top, right } = element.getBoundingClientRect()
        return { top, right, lines: text.getClientRects().length }
      }),
    )
    expect(boxes.map(({ lines }) => lines)).toEqual([1, 1, 1, 1])
    expect(new Set(boxes.map(({ top }) => top)).size).toBe(1)
    expect(Math.max(...boxes.map(({ right }) => right))).toBeLessThanOrEqual(360)
    await page.setViewportSize(wide)
  })

  it('fits every page into the width of a phone', async () => {
    const wide = page.viewportSize() ?? { width: 1280, height: 720 }
    const current = page.url()
    await page.setViewportSize({ width: 360, height: 740 })
    for (const path of ['/products/salt', '/products/salt', '/account', '/', '/status']) {
      await page.goto(url + path)
      const scrollWidth = await page.evaluate(() => document.documentElement.scrollWidth)
      expect({ path, scrollWidth }).toEqual({ path, scrollWidth: 360 })
    }
    await page.setViewportSize(wide)
    await page.goto(current)
  })

  it('signs out and deletes the cookie', async () => {
    expect(await context.cookies()).toMatchObject([{ httpOnly: true, sameSite: 'Lax' }])
    await page.getByRole('button', { name: 'Sign out' }).click()
    expect(await context.cookies()).toEqual([])
    await page.goto(`${url}/account`)
    expect(await page.getByRole('heading', { level: 1 }).textContent()).toBe('Sign in')
  })

  it('logs no errors in the browser console', () => {
    expect(consoleErrors).toEqual([])
  })
})

function variablesFor(
  driver: string,
  server: RedisServer | MemcachedServer | undefined,
): Variables {
  return {
    CACHE_DRIVER: driver,
    SESSION_DRIVER: driver,
    PRODUCTS_DELAY: '5',
    ...(server &&
      ('url' in server ? { REDIS_URL: server.url } : { MEMCACHED_SERVERS: server.address })),
  }
}

async function outcome(page: Page): Promise<string | null> {
  return page.locator('[data-outcome]').getAttribute('data-outcome')
}
