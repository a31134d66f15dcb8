// The faults are planted in the full tier. A text that a change has moved is found here.
import { expect, test } from 'vitest'
import { coreFaults } from './faults/core-faults.ts'
import { sessionFaults } from './faults/session-faults.ts'
import { missingTexts, unknownNames } from './mutant.ts'

test('the built core contains the text of each planted fault', () => {
  const changes = coreFaults.flatMap((fault) => fault.changes ?? [])
  expect(changes.length).toBeGreaterThan(80)
  expect(missingTexts('core', changes)).toEqual([])
  expect(unknownNames('core', changes)).toEqual([])
})

test('the built package of sessions does', () => {
  const changes = sessionFaults.map(([, change]) => change)
  expect(changes.length).toBeGreaterThan(14)
  expect(missingTexts('sessions', changes)).toEqual([])
  expect(unknownNames('sessions', changes)).toEqual([])
})
