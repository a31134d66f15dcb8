import { execFile } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { root } from '../run.mjs'

const execute = promisify(execFile)
export const vitest = join(root, 'node_modules/vitest/vitest.mjs')
export const config = join(root, 'scripts/lib/mutate/vitest.config.mjs')

/**
 * What a test file runs of a bundle.
 * @typedef {{ file: string, ms: number, ranges: [start: number, end: number, count: number][] }} Coverage
 */

/** Runs a test file. Returns `undefined` if it fails, for example because it needs a server. */
export async function coverageOf(file, bundle) {
  const folder = mkdtempSync(join(tmpdir(), 'stowage-coverage-'))
  const startedAt = performance.now()
  try {
    await execute(process.execPath, [vitest, 'run', '--config', config, file], {
      cwd: root,
      env: { ...process.env, NODE_V8_COVERAGE: folder },
      timeout: 120_000,
    })
    return { file, ms: performance.now() - startedAt, ranges: rangesIn(folder, bundle) }
  } catch {
    return undefined
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function rangesIn(folder, bundle) {
  const reports = readdirSync(folder).map((name) => JSON.parse(readFileSync(join(folder, name))))
  const scripts = reports.flatMap(({ result }) => result).filter(({ url }) => url.endsWith(bundle))
  return scripts
    .flatMap(({ functions }) => functions.flatMap(({ ranges }) => ranges))
    .map(({ startOffset, endOffset, count }) => [startOffset, endOffset, count])
}

/** Whether the code at a position runs: the innermost range counts. */
export function isCovered({ ranges }, position) {
  const around = ranges.filter(([start, end]) => start <= position && position < end)
  const sizes = around.map(([start, end]) => end - start)
  const smallest = Math.min(...sizes)
  return around.some(([, , count], index) => sizes[index] === smallest && count > 0)
}
