import { createFillId, type ResponseRecord } from '../../src/storage/record.ts'

/** The record of a response whose body has four bytes. */
export function recordWith(changes: Partial<ResponseRecord> = {}): ResponseRecord {
  return {
    kind: 'response',
    fill: createFillId(),
    status: 200,
    message: 'OK',
    headers: { 'content-type': 'text/plain', vary: 'Accept' },
    etag: '"e"',
    hasOwnEtag: true,
    storedAt: 1,
    freshness: {
      lifetime: 60,
      initialAge: 0,
      staleWhileRevalidate: 0,
      staleIfError: 0,
      mayBeStale: true,
      isShared: false,
      omitted: [],
    },
    keepUntil: 2,
    bodyBytes: 4,
    bodyKey: undefined,
    isEncodable: false,
    ...changes,
  }
}
