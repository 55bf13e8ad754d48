bash /tmp/states/job1.sh dissolve_s6_n750_d8
