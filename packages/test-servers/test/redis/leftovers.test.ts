import { randomUUID } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { expectGone } from './leftovers.ts'

test('the check for leftovers fails while a folder exists', () => {
  const folder = mkdtempSync(join(tmpdir(), 'stowage-test-'))
  try {
    expect(() => expectGone([], [folder])).toThrow(folder)
  } finally {
    rmdirSync(folder)
  }
})

test('the check for leftovers ignores an entry whose name is the end of a removed folder', () => {
  const removed = join(tmpdir(), `stowage-redis-${randomUUID()}`)
  const unrelated = join(tmpdir(), removed.slice(-12))
  mkdirSync(unrelated)
  try {
    expectGone([], [removed])
  } finally {
    rmdirSync(unrelated)
  }
})
