import { expect, test } from 'vitest'
import { ConsumptionMeter, requestChannel } from '../../src/requests/capacity.ts'

const none = { requests: 0, throttled: 0, readUnits: 0, writeUnits: 0 }

test('a meter adds up what requests to a table consume until it is closed', () => {
  const meter = new ConsumptionMeter()
  const publish = (table: string, readUnits: number, writeUnits: number, throttled = false) =>
    requestChannel.publish({ table, readUnits, writeUnits, throttled })
  publish('a', 0.5, 4, true)
  publish('a', 1, 2)
  publish('b', 8, 0)
  expect(meter.of('a')).toEqual({ requests: 2, throttled: 1, readUnits: 1.5, writeUnits: 6 })
  expect(meter.of('b')).toEqual({ ...none, requests: 1, readUnits: 8 })
  expect(meter.of('c')).toEqual(none)
  meter.close()
  publish('b', 8, 0)
  expect(meter.of('b').requests).toBe(1)
})
