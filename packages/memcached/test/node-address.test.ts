import { expect, test } from 'vitest'
import { nodeName, parseAddress } from '../src/node-address.ts'

test.each([
  ['cache', { host: 'cache', port: 11211 }],
  ['cache:11212', { host: 'cache', port: 11212 }],
  ['10.0.0.1:11212:3', { host: '10.0.0.1', port: 11212, weight: 3 }],
  ['::1', { host: '::1', port: 11211 }],
  ['[::1]', { host: '::1', port: 11211 }],
  ['[fd00::1]:11212:0', { host: 'fd00::1', port: 11212, weight: 0 }],
])('parseAddress parses %s', (text, address) => {
  expect(parseAddress(text)).toEqual(address)
})

test.each([
  '',
  ':11211',
  'a:',
  'a:0',
  'a:65536',
  'a:1:',
  'a b',
  'a:1:2:3',
  '[a]:1',
  '[::1',
  'a/b',
  'u:p@a',
])('parseAddress returns undefined for %j', (text) => {
  expect(parseAddress(text)).toBeUndefined()
})

test('nodeName returns text that parseAddress parses', () => {
  for (const name of ['cache:11211', '[::1]:11212']) {
    expect(nodeName(parseAddress(name) ?? { host: '', port: 0 })).toBe(name)
  }
})
