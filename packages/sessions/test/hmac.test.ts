import { createHmac } from 'node:crypto'
import { expect, test } from 'vitest'
import { createHmacSha256 } from '../src/http/cookie.ts'

test.each([1, 6, 63, 64, 65, 200])(
  'signs with a secret of %i characters as node:crypto does',
  (length) => {
    const secret = 'ä7-'.repeat(length).slice(0, length)
    const hmac = createHmacSha256(secret)
    for (const text of ['', 'a', 'an id of some characters', 'é'.repeat(100)]) {
      const expected = createHmac('sha256', secret).update(text).digest('base64').replace(/=+$/, '')
      expect(hmac(text)).toBe(expected)
    }
  },
)
