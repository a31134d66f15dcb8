import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { root } from '../scripts/lib/run.mjs'
import { chanceProblems } from '../scripts/lib/tests-by-chance.mjs'

/** What is found in the lines of a test, without the remedies. */
function problems(...lines: string[]): string[] {
  return problemsIn('packages/a/test', lines)
}

function problemsIn(parent: string, lines: string[], name = 'a.test.ts'): string[] {
  const folder = mkdtempSync(join(tmpdir(), 'stowage-tests-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  mkdirSync(join(folder, parent), { recursive: true })
  writeFileSync(join(folder, parent, name), lines.join('\n'))
  return chanceProblems(folder).map((problem) => problem.replace(/.*\.ts:(\d+ \w+).*/, '$1'))
}

test('accepts the tests as they are', () => {
  expect(chanceProblems(root)).toEqual([])
})

test.each([
  ['examples/a/test/cases', ['1 sleeps']],
  ['test/a', ['1 sleeps']],
  ['packages/testing/src/conformance', ['1 sleeps']],
  ['packages/a/src', []],
  ['test/.cache/page', []],
  ['test/a/node_modules/b', []],
])('checks %s: %j', (parent, expected) => {
  expect(problemsIn(parent, ['await sleep(5)'])).toEqual(expected)
})

test.each([
  ['expect(performance.now() - start).toBeLessThan(5)'],
  ['expect(Math.abs(time - Date.now())).toBeLessThan(5)'],
  ["assert.ok(Date.now() - start < 5, 'soon')"],
])('refuses an upper bound on elapsed time: %s', (line) => {
  expect(problems(line)).toEqual(['1 compares'])
})

test('refuses it by way of variables and functions', () => {
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
  expect(problems(...lines)).toEqual(['8 compares', '9 compares'])
})

test.each([
  ['await sleep(50)'],
  ['  await sleep(2 * ttlMs)'],
  ['await new Promise((resolve) => setTimeout(resolve, 20))'],
])('refuses a sleep: %s', (line) => {
  expect(problems(line)).toEqual(['1 sleeps'])
})

test.each([
  ['afterEach(async () => {'],
  ['beforeAll(start)'],
  ['vi.setConfig({ testTimeout: 900_000 })'],
])('refuses for a module what only its first file would get: %s', (line) => {
  expect(problemsIn('packages/a/test', [line], 'helpers.ts')).toEqual(['1 has'])
  expect(problemsIn('packages/a/test', [`  ${line}`], 'helpers.ts')).toEqual([])
  expect(problems(line)).toEqual([])
})

test.each([
  ["test.only('a', () => {})"],
  ["describe.skipIf(isSlow)('a', () => {})"],
  ["it.each([1]).skip('a', () => {})"],
  ["test.todo('a')"],
  ["test('a', async ({ skip }) => {"],
])('refuses tests that are left out: %s', (line) => {
  expect(problems(line)).toEqual(['1 leaves'])
})

test.each([
  ['await vi.waitFor(() => expect(calls(1, 2)).toEqual([1, 2]))'],
  ['isHeld: (path) => vi.waitUntil(() => held.has(path)),'],
  ['await vi.waitFor(async () => {\n  const [a, b] = await read()\n  expect(a).toBe(`(,`)\n})'],
  ['await vi.waitFor(\n  () => expect(a).toBe(1),\n)'],
])('refuses a wait that ends after a second: %s', (text) => {
  expect(problems(text)).toEqual(['1 waits'])
})

test.each([
  ['expect(error).toMatchObject({ message: /down/ })'],
  ["expect(error).toMatchObject({\n  code: 'x',\n  message: /down/,\n})", 3],
])('refuses a comparison that any text meets: %j', (text, line = 1) => {
  expect(problems(text)).toEqual([`${line} accepts`])
})

test('accepts lower bounds, running time, polls, waits with a timeout, manual clocks and comments', () => {
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
    'await vi.waitFor(() => expect(a).toBe(1), patient)',
    'await vi.waitUntil(async () => {',
    '  return isMet()',
    '}, 20_000)',
    'expect(error).toMatchObject({ message: expect.stringMatching(/down/) })',
    'expect(withText({ message: /down/ }))',
  ]
  expect(problems(...lines)).toEqual([])
})
