import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { sideBySidePage } from './page.mjs'
import { readmeTable } from './readme-table.mjs'
import { storedResults } from './results.mjs'

const root = fileURLToPath(new URL('../../..', import.meta.url))
const block = /(?<=<!-- speed: [^>]*-->\n\n).*?(?=\n\n<!-- \/speed -->)/s

/** The documents that show the stored results, by their path: the page of all tables, and README.md with its table. */
export function benchmarkDocuments() {
  const results = storedResults()
  const readme = readFileSync(join(root, 'README.md'), 'utf8')
  if (!block.test(readme)) throw new Error('README.md has no block <!-- speed: … -->')
  return {
    'docs/side-by-side.md': sideBySidePage(results),
    'README.md': readme.replace(block, () => readmeTable(results)),
  }
}

/** Writes them. */
export function writeBenchmarkDocuments() {
  for (const [path, text] of Object.entries(benchmarkDocuments())) {
    writeFileSync(join(root, path), text)
  }
}
