import { expect, test } from 'vitest'
import { backends } from './backends.ts'
import { refuse, run, timeout } from './outages.ts'

test.for(Object.keys(backends) as (keyof typeof backends)[])(
  'nothing is outdated when the journal has overflown: %s',
  { timeout },
  async (backend) => {
    const logs = await run({ backend, journal: 5 }, ({ backend }) => refuse(backend))
    expect(logs.every(({ phases }) => phases.some((each) => each[3] === true))).toBe(true)
  },
)
