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
 * Checks the built site: each link leads to a page and to an element, and in Chromium no page is wider than a phone. Of
 * pages that are alike, accessibility is checked on one only: of the API reference, and of thousands of figures.
 */
export async function checkSite(folder) {
  const pages = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.html') && name !== '404.html')
    .map((name) => `/${name.replace(/(^|\/)index\.html$/, '$1').replace(/\.html$/, '')}`)
  const broken = await step(`Links of ${pages.length} pages`, () => brokenLinks(folder, pages))
  const opened = pages.filter(
    (page) => !/^\/(api|benchmarks)\//.test(page) || page.endsWith('/core/classes/Cache'),
  )
  const defects = await step(`${opened.length} pages in Chromium`, () => defectsOf(folder, opened))
  const others = pages.filter((page) => !opened.includes(page))
  const wide = await step(`${others.length} pages on a phone`, () => widePages(folder, others))
  const problems = [...broken, ...defects, ...wide]
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
  const defects = []
  for (const { name, ...options } of views) {
    await openEach(folder, pages, { ...options, reducedMotion: 'reduce' }, async (tab, page) => {
      await tab.evaluate(axeSource)
      const found = await tab.evaluate(inspectPage)
      defects.push(...found.map((defect) => `${page} (${name}): ${defect}`))
    })
  }
  return defects
}

/** The pages that are wider than a phone, as they are sent: without their scripts. */
async function widePages(folder, pages) {
  const wide = []
  const options = { viewport: views.at(-1).viewport, javaScriptEnabled: false }
  await openEach(folder, pages, options, async (tab, page) => {
    const width = await tab.evaluate(() => document.documentElement.scrollWidth)
    if (width > options.viewport.width) wide.push(`${page}: is ${width} px wide on a phone`)
  })
  return wide
}

async function openEach(folder, pages, options, visit) {
  const site = await serve(folder)
  const browser = await chromium.launch(chromiumOptions())
  const tab = await browser.newPage(options)
  for (const page of pages) {
    await tab.goto(site.url + page)
    await visit(tab, page)
  }
  await browser.close()
  site.close()
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
