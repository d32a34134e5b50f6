
s2first long string here2b2c