import { AppProcess, chromiumOptions } from '@stowage/example-shared/testing'
import { type RedisServer, startRedis } from '@stowage/test-servers'
import { type Browser, chromium } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'

const main = new URL('../dist/main.js', import.meta.url)
let server: RedisServer
let app: AppProcess
let url: string

beforeAll(async () => {
  server = await startRedis()
  app = new AppProcess(main, { CACHE_DRIVER: 'redis', REDIS_URL: server.url })
  url = await app.url()
})

afterAll(async () => {
  await app?.stop()
  await server?.stop()
})

test.each([360, 768, 1280])(
  'does not scroll horizontally at %d px, and logs no errors',
  async (width) => {
    let browser: Browser | undefined
    try {
      browser = await chromium.launch(chromiumOptions())
      const page = await browser.newPage({ viewport: { width, height: 800 } })
      const errors: string[] = []
      page.on('console', (message) => {
        if (message.type() === 'error') errors.push(message.text())
      })
      for (const path of ['/report', '/login']) {
        await page.goto(`${url}${path}`)
        const tooWide = () => document.documentElement.scrollWidth > innerWidth
        expect(await page.evaluate(tooWide)).toBe(false)
      }
      expect(errors).toEqual([])
    } finally {
      await browser?.close()
    }
  },
)
