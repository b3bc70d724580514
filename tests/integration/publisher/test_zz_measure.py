import asyncio, time, statistics
from contextlib import AsyncExitStack
from tests.support import outbox, servers
from engine.write import outbox as ob, publishing, shards as sh
from engine.runtime.broker import Broker
from engine.runtime.stream import EventStream
from publisher.role import _parcels

async def test_lanes(connection, database_url, nats_url):
    N=10000
    for pad in (100, 8000):
        res={1:[],2:[],"bare":[]}
        v=0
        for rnd in range(3):
          for lanes in (1,2,"bare"):
            v+=1
            await servers.delete_streams(nats_url)
            await connection.execute("update playlog.shard set stream_created=null, last_seq=0, safe_seq=0, safe_at=null")
            await connection.execute("truncate playlog.outbox")
            settings = outbox.publisher_settings(database_url, nats_url)
            async with AsyncExitStack() as st:
                ps=[await st.enter_async_context(outbox.a_publisher(settings)) for _ in range(lanes if lanes!="bare" else 1)]
                for p in ps: await p.step()
                await outbox.put(connection, *[(1000 + i % 2000, 1 + i // 2000, 1 + i // 2000) for i in range(N)], padding=pad)
                if lanes=="bare":
                    es=ps[0]._sender._stream
                    async with connection.transaction():
                        owned = await sh.lock(connection, 16)
                        rows = await publishing.due(connection, range(16), N, 2**40)
                    qs=[q.message for q in _parcels(rows, owned)]
                    t=time.perf_counter()
                    for i in range(0,N,900): await es.publish_atomic(qs[i:i+900])
                else:
                    t=time.perf_counter()
                    async def run(p):
                        while await p.step() < 1: pass
                    await asyncio.gather(*(run(p) for p in ps))
                res[lanes].append((time.perf_counter()-t)*1e6/N)
        print(pad, {k:[round(x,1) for x in v] for k,v in res.items()})
    for n in (10_000, 1_000_000):
        await connection.execute("truncate playlog.outbox")
        await connection.execute("""insert into playlog.outbox (shard, execution_id, first_version, last_version, event_id, subject, payload)
          select (i % 100000) & 15, i % 100000, i/100000+1, i/100000+1, i, 'playlog.events.1.1', repeat('x', 400) from generate_series(1, $1) i""", n)
        async def timed(f, k=10):
            xs=[]
            for _ in range(k):
                t=time.perf_counter(); r=await f(); xs.append((time.perf_counter()-t)*1e3)
            return [round(statistics.median(xs),1), round(max(xs),1)]
        print(n, "count", await timed(lambda: ob.pending_count(connection)))
        async def due():
            async with connection.transaction():
                await sh.begin_pass(connection)
                return await publishing.due(connection, list(range(8)), 1000, 2**23)
        print(n, "due", await timed(due))
        print(n, "claim100", await timed(lambda: ob.claim(connection, 100)))
        print(n, "claim1000", await timed(lambda: ob.claim(connection, 1000),5))
        print(n, "count", await timed(lambda: ob.pending_count(connection)))
    await connection.execute("delete from playlog.outbox")
    print("after delete", await timed(lambda: ob.pending_count(connection)))
