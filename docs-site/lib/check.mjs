import { readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { chromium } from 'playwright-core'
import { chromiumOptions } from '../../examples/shared/dist/testing/index.js'
import { step, UserError } from '../../scripts/lib/cli.mjs'
import { fileOf, serve } from './static-server.mjs'

const axeSource = readFileSync(
  createRequire(import.meta.url).resolve('axe-core/axe.min.js'),
  'utf8',
)

/** Widths and colours in which each page is opened. */
export const views = [
  { name: 'light', colorScheme: 'light', viewport: { width: 1280, height: 900 } },
  { name: 'dark', colorScheme: 'dark', viewport: { width: 1280, height: 900 } },
  { name: 'phone', colorScheme: 'light', viewport: { width: 360, height: 740 } },
]

/**
 * Checks the built site: each link leads to a page and to an element, and in Chromium no page has a serious accessibility
 * defect or is wider than a phone.
 */
export async function checkSite(folder) {
  const pages = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.html') && name !== '404.html')
    .map((name) => `/${name.replace(/(^|\/)index\.html$/, '$1').replace(/\.html$/, '')}`)
  const broken = await step(`Links of ${pages.length} pages`, () => brokenLinks(folder, pages))
  const opened = pages.filter(
    (page) => !page.startsWith('/api/') || page.endsWith('/core/classes/Cache'),
  )
  const defects = await step(`${opened.length} pages in Chromium`, () => defectsOf(folder, opened))
  const problems = [...broken, ...defects]
  if (problems.length > 0) throw new UserError(problems.join('\n'))
}

function brokenLinks(folder, pages) {
  const read = (page) => readFileSync(fileOf(folder, page), 'utf8')
  const ids = new Map(pages.map((page) => [page, idsOf(read(page))]))
  return pages.flatMap((page) => {
    const links = [...read(page).matchAll(/<a\b[^>]*\shref="([^"]+)"/g)].map(([, href]) => href)
    return [...new Set(links)]
      .filter((href) => /^[/#]/.test(href) && !leadsSomewhere(folder, ids, page, href))
      .map((href) => `${page}: broken link ${href}`)
  })
}

function idsOf(html) {
  return new Set([...html.matchAll(/\sid="([^"]+)"/g)].map(([, id]) => id))
}

function leadsSomewhere(folder, ids, page, href) {
  const { pathname, hash } = new URL(href.replaceAll('&amp;', '&'), `http://localhost${page}`)
  const target = pathname.replace(/\.html$/, '')
  if (fileOf(folder, target) === undefined) return false
  return hash === '' || ids.get(target)?.has(decodeURIComponent(hash.slice(1)))
}

async function defectsOf(folder, pages) {
  const site = await serve(folder)
  const browser = await chromium.launch(chromiumOptions())
  const defects = []
  for (const { name, ...options } of views) {
    const context = await browser.newContext({ ...options, reducedMotion: 'reduce' })
    const tab = await context.newPage()
    for (const page of pages) {
      await tab.goto(site.url + page)
      await tab.evaluate(axeSource)
      const found = await tab.evaluate(inspectPage)
      defects.push(...found.map((defect) => `${page} (${name}): ${defect}`))
    }
    await context.close()
  }
  await browser.close()
  site.close()
  return defects
}

/** Runs in the page. */
async function inspectPage() {
  const { violations } = await globalThis.axe.run(document, { resultTypes: ['violations'] })
  const serious = violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, nodes }) => `${id}: ${nodes.length} × ${nodes[0].target.join(' ')}`)
  const { scrollWidth, clientWidth } = document.documentElement
  const isTooWide = scrollWidth > clientWidth
  return isTooWide ? [...serious, `is ${scrollWidth - clientWidth} px too wide`] : serious
}
