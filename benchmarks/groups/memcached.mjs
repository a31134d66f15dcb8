import { memcachedGroup } from '../lib/memcached-group.mjs'

export default memcachedGroup(1)
