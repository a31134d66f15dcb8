import type { ScanInput, ScanOutput } from '@aws-sdk/client-dynamodb'
import { expect, onTestFinished, test } from 'vitest'
import { scanPages } from '../../src/requests/scan.ts'

const item = (key: string) => ({ k: { S: key } })

test('a scan reads all pages of four segments', async () => {
  const inputs: ScanInput[] = []
  const send = async (input: ScanInput): Promise<ScanOutput> => {
    inputs.push(input)
    const page = input.ExclusiveStartKey === undefined ? 'first' : 'second'
    const isLast = input.Segment !== 2 || page === 'second'
    return {
      Items: [item(`${input.Segment} ${page}`)],
      ...(!isLast && { LastEvaluatedKey: item('end') }),
    }
  }
  const keys: (string | undefined)[] = []
  for await (const items of scanPages(send, { TableName: 't' })) {
    keys.push(...items.map(({ k }) => k?.S))
  }
  expect(keys.sort()).toEqual(['0 first', '1 first', '2 first', '2 second', '3 first'])
  const common = { TableName: 't', TotalSegments: 4, ConsistentRead: true }
  expect(inputs).toEqual([
    ...[0, 1, 2, 3].map((Segment) => ({ ...common, Segment })),
    { ...common, Segment: 2, ExclusiveStartKey: item('end') },
  ])
})

test('a page without items is empty', async () => {
  const pages: unknown[] = []
  for await (const page of scanPages(async () => ({}), { TableName: 't' })) pages.push(page)
  expect(pages).toEqual([[], [], [], []])
})

test('a scan fails with the first segment that fails', async () => {
  const send = async ({ Segment }: ScanInput): Promise<ScanOutput> => {
    throw new Error(`segment ${Segment}`)
  }
  await expect(scanPages(send, { TableName: 't' }).next()).rejects.toThrow('segment 0')
})

test('a page that fails after the caller has left the scan is ignored', async () => {
  let fail = (_error: Error): void => {}
  const send = async ({ Segment, ExclusiveStartKey }: ScanInput): Promise<ScanOutput> => {
    if (ExclusiveStartKey === undefined && Segment === 0) return { LastEvaluatedKey: item('end') }
    return new Promise((_, reject) => {
      fail = reject
    })
  }
  for await (const page of scanPages(send, { TableName: 't' })) {
    expect(page).toEqual([])
    break
  }
  const unhandled: unknown[] = []
  const listener = (error: unknown) => unhandled.push(error)
  process.on('unhandledRejection', listener)
  onTestFinished(() => void process.off('unhandledRejection', listener))
  fail(new Error('lost'))
  await new Promise((resolve) => setImmediate(resolve))
  expect(unhandled).toEqual([])
})
