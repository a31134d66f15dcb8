// Builds the documentation site and serves it: npm run docs. With --build it is only built, in docs-site/dist; with
// --check it is also opened in Chromium: links, accessibility, and the width of a phone.
import { copyFileSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { main, step } from './lib/cli.mjs'
import { build as buildPackages, prepareDependencies } from './lib/prepare.mjs'
import { root, runOrThrow } from './lib/run.mjs'

const site = join(root, 'docs-site')
const dist = join(site, 'dist')
const vitepress = join(site, 'node_modules/vitepress/bin/vitepress.js')

await main(async () => {
  // The site is built from the sources of the packages, so that they need not be built.
  await prepareDependencies(['@stowage/docs-site'])
  await buildSite()
  if (process.argv.includes('--check')) return checkSite()
  if (!process.argv.includes('--build')) await serveSite()
})

async function buildSite() {
  const { collectPages } = await import('../docs-site/lib/collect.mjs')
  const { writeApiReference } = await import('../docs-site/lib/api-reference.mjs')
  const generated = join(site, '.generated')
  await step('Collect pages', () => collectPages(generated))
  await step('API reference', writeApiReference)
  mkdirSync(join(generated, 'public'), { recursive: true })
  copyFileSync(
    join(root, 'examples/shared/public/favicon.svg'),
    join(generated, 'public/favicon.svg'),
  )
  // With a small young generation, a sixth of the time goes to the garbage collector.
  const build = ['--max-semi-space-size=64', vitepress, 'build']
  await step('Site', () => runOrThrow(process.execPath, build, { cwd: site }))
}

async function checkSite() {
  await step('Build', buildPackages)
  const { checkSite: check } = await import('../docs-site/lib/check.mjs')
  return check(dist)
}

async function serveSite() {
  const { serve } = await import('../docs-site/lib/static-server.mjs')
  const { url } = await serve(dist, Number(process.env.PORT ?? 4173))
  console.log(`\nThe documentation is at ${url}\n`)
}
