import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { readmeTable } from './readme-table.mjs'
import { storedResults } from './results.mjs'
import { resultsPage } from './results-page.mjs'
import { sideBySidePage } from './side-by-side-page.mjs'

const root = fileURLToPath(new URL('../../..', import.meta.url))
const block = /(?<=<!-- speed: [^>]*-->\n\n).*?(?=\n\n<!-- \/speed -->)/s

/** The documents that show the stored results, by their path: all tables, their summary, and README.md with its table. */
export function benchmarkDocuments() {
  const results = storedResults()
  const readme = readFileSync(join(root, 'README.md'), 'utf8')
  if (!block.test(readme)) throw new Error('README.md has no block <!-- speed: … -->')
  return {
    'benchmarks/results.md': resultsPage(results),
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
