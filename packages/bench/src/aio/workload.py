"""The workload of workload.mjs with aiosqlite. Prints its figures as JSON."""

import asyncio
import json
import resource
import sqlite3
import sys
import time

import aiosqlite

CREATE = """
create table foo(one, two, three, four, five);
insert into foo values(1, 2, 3, 4, 5);
insert into foo values(5, 4, 3, 2, 1);
"""


async def main(prefetch):
    async with aiosqlite.connect(":memory:", iter_chunk_size=prefetch) as db:
        wall, cpu, loop = time.perf_counter(), time.process_time(), resource.getrusage(resource.RUSAGE_THREAD)
        await db.executescript(CREATE)
        while True:
            cursor = await db.execute("select count(*) from foo")
            count = (await cursor.fetchone())[0]
            if count > 300_000:
                break
            rows = []
            async with db.execute("select * from foo limit 1000") as cursor:
                async for row in cursor:
                    rows.append(row)
            await db.executemany("insert into foo values(?, ?, ?, ?, ?)", rows)
        end = resource.getrusage(resource.RUSAGE_THREAD)
        main_cpu = end.ru_utime + end.ru_stime - loop.ru_utime - loop.ru_stime
        return {
            "ms": (time.perf_counter() - wall) * 1000,
            "cpuMs": (time.process_time() - cpu) * 1000,
            "mainCpuMs": main_cpu * 1000,
            "rows": count,
        }


if sys.argv[1] == "--version":
    print(f"{aiosqlite.__version__} (Python {sys.version.split()[0]}, SQLite {sqlite3.sqlite_version})")
else:
    print(json.dumps(asyncio.run(main(int(sys.argv[1])))))
