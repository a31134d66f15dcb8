import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { UserError } from '../cli.mjs'
import { root } from '../run.mjs'
import { inTurn } from './in-turn.mjs'
import { cacheFolder } from './known-killers.mjs'
import { TestRunner } from './test-runner.mjs'

const execute = promisify(execFile)
const vitest = join(root, 'node_modules/vitest/vitest.mjs')
const config = join(root, 'scripts/lib/mutate/vitest.config.mjs')

/**
 * What a test file runs of a bundle.
 * @typedef {{ id: string, file: string, ms: number, runsKit: boolean, ranges: [start: number, end: number, count: number][] }} Coverage
 */

/** The kit, on a store without a server. */
const kit = 'packages/memory/test/conformance.test.ts'

/** Whether a test file runs the kit on the usual store of its package. */
export function isKit({ file }) {
  return file.endsWith('/test/conformance.test.ts')
}

/** The test files of a package, and the kit. */
export function testFilesOf(name) {
  const own = readdirSync(join(root, `packages/${name}/test`), { recursive: true })
    .filter((file) => file.endsWith('.test.ts') && !file.endsWith('.full.test.ts'))
    .map((file) => `packages/${name}/test/${file}`)
  return [...new Set([...own, kit])]
}

/**
 * What test files reach, measured once per build and version of the file.
 * @throws UserError if a file fails: what it notices would count as not noticed
 */
export async function coverageOfTests(files, { bundle, code, jobs }) {
  mkdirSync(cacheFolder, { recursive: true })
  const runner = new TestRunner({ bundle, code })
  const measured = await inTurn(files, jobs, (file) =>
    measuredOnce(file, { bundle, code, env: runner.env }),
  ).finally(() => runner.close())
  const failed = files.filter((_, index) => measured[index] === undefined)
  if (failed.length > 0) {
    const list = failed.map((file) => `  ${file}`).join('\n')
    throw new UserError(
      `Without a change, these test files fail, or take longer than two minutes:\n${list}`,
    )
  }
  return measured.filter(({ ranges }) => ranges.length > 0)
}

async function measuredOnce(file, { bundle, code, env }) {
  const text = readFileSync(join(root, file), 'utf8')
  const hash = createHash('sha256').update(code).update(file).update(text).digest('hex')
  const id = hash.slice(0, 16)
  const path = join(cacheFolder, `${id}.json`)
  try {
    return { ...JSON.parse(readFileSync(path, 'utf8')), id }
  } catch {}
  const coverage = await coverageOf(file, bundle, env)
  if (coverage === undefined) return undefined
  const result = { ...coverage, runsKit: runsKit(text) }
  writeFileSync(path, JSON.stringify(result))
  return { ...result, id }
}

function runsKit(text) {
  return /\bconform\(/.test(text)
}

/** Runs a test file. Returns `undefined` if it fails. */
async function coverageOf(file, bundle, env) {
  const folder = mkdtempSync(join(tmpdir(), 'stowage-coverage-'))
  const startedAt = performance.now()
  try {
    await execute(process.execPath, [vitest, 'run', '--config', config, file], {
      cwd: root,
      env: { ...env, NODE_V8_COVERAGE: folder },
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

/**
 * Whether a test file reaches a mutant: the innermost range around it counts. All files run the code outside of functions,
 * such as constants: those reach it that run a function of its module.
 */
export function isCovered({ ranges }, { start: position, module }) {
  const around = ranges.filter(([start, end]) => start <= position && position < end)
  const sizes = around.map(([start, end]) => end - start)
  const smallest = Math.min(...sizes)
  const [from, to] = module
  if (smallest > to - from)
    return ranges.some(([start, end, n]) => from <= start && end <= to && n > 0)
  return around.some(([, , count], index) => sizes[index] === smallest && count > 0)
}
