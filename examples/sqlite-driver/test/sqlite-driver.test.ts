import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { conform, ManualClock } from '@stowage/testing'
import { describe, expect, test } from 'vitest'
import { sqlite } from '../dist/sqlite-driver.js'

const clock = new ManualClock()

// The full tier has all groups: conformance.full.test.ts.
describe('conformance', () => {
  const groups = ['read', 'write', 'atomic', 'expiry', 'batches', 'clear'] as const
  const wait = (ms: number) => clock.advance(ms)
  conform(test, () => sqlite({ clock }), { wait, exact: true, groups })
})

test('the application prints what it has cached', async () => {
  const main = fileURLToPath(new URL('../dist/main.js', import.meta.url))
  const { stdout } = await promisify(execFile)(process.execPath, [main])
  expect(stdout).toBe("{ name: 'Lamp' }\nundefined 1\n")
})

test('the store has less than 90 lines of code', () => {
  const text = readFileSync(new URL('../src/sqlite-driver.ts', import.meta.url), 'utf8')
  const store = text.slice(text.indexOf('class SqliteStore'), text.indexOf('/** Creates a store.'))
  const lines = store
    .split('\n')
    .filter((line) => line.trim() !== '' && !/^ *(\/\*|\*|\/\/)/.test(line))
  expect(lines.length).toBeLessThan(90)
})
