import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'

const execute = promisify(execFile)
const checker = fileURLToPath(new URL('../scripts/check-tests.mjs', import.meta.url))

/** What the checker prints about the lines of a test, without the remedies; about the workspace without lines. */
async function problems(...lines: string[]): Promise<string[]> {
  return problemsIn('packages/a/test', lines)
}

async function problemsIn(parent: string, lines: string[]): Promise<string[]> {
  const folder = mkdtempSync(join(tmpdir(), 'stowage-tests-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  mkdirSync(join(folder, parent), { recursive: true })
  writeFileSync(join(folder, parent, 'a.test.ts'), lines.join('\n'))
  const { stderr } = await execute(process.execPath, [checker, folder]).catch((error) => error)
  return [...stderr.matchAll(/a\.test\.ts:(\d+) (\w+)/g)].map(([, line, kind]) => `${line} ${kind}`)
}

test('accepts the tests as they are', async () => {
  await expect(execute(process.execPath, [checker])).resolves.toBeDefined()
})

test.each([
  ['examples/a/test/cases', ['1 sleeps']],
  ['test/a', ['1 sleeps']],
  ['packages/testing/src/conformance', ['1 sleeps']],
  ['packages/a/src', []],
  ['test/.cache/page', []],
  ['test/a/node_modules/b', []],
])('checks %s: %j', async (parent, expected) => {
  expect(await problemsIn(parent, ['await sleep(5)'])).toEqual(expected)
})

test.each([
  ['expect(performance.now() - start).toBeLessThan(5)'],
  ['expect(Math.abs(time - Date.now())).toBeLessThan(5)'],
  ["assert.ok(Date.now() - start < 5, 'soon')"],
])('refuses an upper bound on elapsed time: %s', async (line) => {
  expect(await problems(line)).toEqual(['1 compares'])
})

test('refuses it by way of variables and functions', async () => {
  const lines = [
    'async function duration(call) {',
    '  const start = performance.now()',
    '  await call()',
    '  return performance.now() - start',
    '}',
    'test("is fast", async () => {',
    '  const took = await duration(call)',
    '  expect(took).toBeLessThan(5)',
    '  expect(await duration(call)).toBeLessThan(5)',
    '})',
  ]
  expect(await problems(...lines)).toEqual(['8 compares', '9 compares'])
})

test.each([
  ['await sleep(50)'],
  ['  await sleep(2 * ttlMs)'],
  ['await new Promise((resolve) => setTimeout(resolve, 20))'],
])('refuses a sleep: %s', async (line) => {
  expect(await problems(line)).toEqual(['1 sleeps'])
})

test.each([
  ["test.only('a', () => {})"],
  ["describe.skipIf(isSlow)('a', () => {})"],
  ["it.each([1]).skip('a', () => {})"],
  ["test.todo('a')"],
  ["test('a', async ({ skip }) => {"],
])('refuses tests that are left out: %s', async (line) => {
  expect(await problems(line)).toEqual(['1 leaves'])
})

test('accepts lower bounds, running time, polls, manual clocks and comments', async () => {
  const lines = [
    'expect(performance.now() - start).toBeGreaterThan(5)',
    'expect(stalls.runningMs).toBeLessThan(5)',
    'while (!(await isMet())) await sleep(5)',
    'while (!(await isMet())) {',
    '  if (polls++ > 1_000) {',
    '    throw new Error("never")',
    '  }',
    '  await sleep(5)',
    '}',
    'await clock.sleep(5)',
    'conform(test, create, { wait: async (ms) => sleep(ms) })',
    '// await sleep(50)',
    'expect(context.skip()).toBe(undefined)',
  ]
  expect(await problems(...lines)).toEqual([])
})
