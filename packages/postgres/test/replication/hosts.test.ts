import { expect, test } from 'vitest'
import { Hosts } from '../../src/connections/hosts.ts'

test('a host that another one has replaced as the primary is not used, although it accepts writes', () => {
  const hosts = new Hosts(['a', 'b'])
  expect(hosts.confirm('a', 1)).toBe(true)
  hosts.leave('a')
  expect(hosts.current).toBe('b')
  expect(hosts.confirm('b', 2)).toBe(true)
  expect(hosts.confirm('a', 1)).toBe(false)
  expect(hosts.current).toBe('b')
})
